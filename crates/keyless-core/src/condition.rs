//! The form in which ABAC conditions are compared: blanks mean nothing outside of quotes.

/// Each run of blanks outside of quotes as one space, none at the ends.
#[must_use]
pub fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut quoted = false;
    for c in text.trim().chars() {
        quoted ^= c == '\'';
        if quoted || !c.is_whitespace() {
            folded.push(c);
        } else if !folded.ends_with(' ') {
            folded.push(' ');
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_mean_nothing_but_in_quotes() {
        let lines = "(\n (\n  @Resource[x]  StringEquals\t'a  b'\r\n )\n)\n";
        assert_eq!(folded(lines), "( ( @Resource[x] StringEquals 'a  b' ) )");
        assert_eq!(folded(&folded(lines)), folded(lines));
    }
}
