//! Plans for programs.

use super::view::Fleet;

pub(super) fn render(fleet: &Fleet) -> String {
    // The view holds texts, numbers and lists only, which always have a form in JSON.
    let mut text = serde_json::to_string_pretty(fleet).unwrap_or_default();
    text.push('\n');
    text
}
