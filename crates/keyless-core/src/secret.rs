//! What looks like a secret that was pasted in a wrong place: messages say so in its stead.
//!
//! Files, settings and command lines are echoed in what is told of them, which goes into logs, pull requests and pages. So
//! a text that is echoed goes through [`shown`], and a whole message through [`without`], which also catches what a parser
//! or an error of another crate repeats. Both rather hide a name too many than show one secret; ids, names and durations
//! that are merely wrong stay, for they are what helps.

use std::borrow::Cow;

use uuid::Uuid;

/// What stands in a message where a secret would.
pub const WORDS: &str = "a value that looks like a secret";

/// What stands in front of a secret in connection strings, SAS and bodies of token requests, in lower case.
const MARKS: [&str; 8] = [
    "accesskey=",
    "accountkey=",
    "sharedaccesssignature=",
    "password=",
    "pwd=",
    "sig=",
    "client_secret=",
    "clientsecret=",
];

/// A run of at least this many characters may be a secret. Keys of Azure have 44 and more.
const LONG: usize = 40;

/// A word of a name is shorter; the longest word in ids of this kind is `MachineLearningServices`.
const LONGEST_WORD: usize = 24;

/// The text as it may be told: itself, [`WORDS`], or a URL without its query.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    if looks_like_one(text) {
        return WORDS.into();
    }
    match query(text) {
        Some(query) => text.replace(query, "…").into(),
        None => text.into(),
    }
}

/// A part of a text as it may be told. Of a text that looks like a secret no part is, for a part may look like anything.
#[must_use]
pub fn part<'t>(part: &'t str, of: &str) -> Cow<'t, str> {
    if looks_like_one(of) { WORDS.into() } else { shown(part) }
}

/// The message with what looks like a secret taken out, in backquotes or not.
#[must_use]
pub fn without(message: &str) -> String {
    let pieces: Vec<&str> = message.split('`').collect();
    let last = pieces.len().saturating_sub(1);
    let mut said = String::with_capacity(message.len());
    for (at, piece) in pieces.into_iter().enumerate() {
        let quoted = at % 2 == 1 && at < last;
        let piece = if quoted { shown(piece) } else { prose(piece) };
        // The words are no quotation.
        let ticks = if quoted && piece != WORDS { "`" } else { "" };
        said.extend([ticks, &piece, ticks]);
        if at % 2 == 1 && !quoted {
            // A backquote that nothing closes belongs to the text.
            said.insert(said.len() - piece.len(), '`');
        }
    }
    said
}

/// Words between quotations: only the one that is a secret goes, if it is one alone.
fn prose(piece: &str) -> Cow<'_, str> {
    let words = || piece.split(' ');
    if !words().any(|word| looks_like_one(word) || query(word).is_some()) {
        return shown(piece);
    }
    let kept = words().map(shown).collect::<Vec<_>>().join(" ");
    if looks_like_one(&kept) { WORDS.into() } else { kept.into() }
}

/// Whether a text holds what looks like a secret.
#[must_use]
pub fn looks_like_one(text: &str) -> bool {
    is_marked(text) || has_user(text) || runs(text).any(|run| is_token(run) || is_random(run))
}

/// Whether a connection string, a SAS or a header says that a secret follows. Blanks around the sign do not matter to who
/// reads such a string.
pub(crate) fn is_marked(text: &str) -> bool {
    let folded: String = text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    let folded = folded.replace("%3d", "=");
    let marked = |mark: &str| {
        folded.match_indices(mark).any(|(at, _)| {
            let before = folded.get(..at).and_then(|before| before.chars().next_back());
            // `config=` is no `sig=`.
            mark != "sig=" || !before.is_some_and(char::is_alphanumeric) || ends_in_escape(&folded, at)
        })
    };
    let mut words = text.split_whitespace();
    let bearer = words.next().is_some_and(|first| first.eq_ignore_ascii_case("bearer")) && words.next().is_some();
    bearer || MARKS.into_iter().any(marked)
}

/// Whether `%26` or the like stands there: an encoded `&`.
fn ends_in_escape(text: &str, at: usize) -> bool {
    at.checked_sub(3).and_then(|from| text.get(from..at)).is_some_and(|before| before.starts_with('%'))
}

/// Whether a URL carries a user name that is not hidden yet. A password may hold what an address may not, so all up to a
/// blank counts.
fn has_user(text: &str) -> bool {
    let urls = text.split_whitespace().filter_map(|word| word.split_once("://"));
    urls.filter_map(|(_, rest)| rest.rsplit_once('@')).any(|(user, _)| user != "***")
}

/// The query of a URL.
fn query(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let (_, query) = rest.split_once('?')?;
    let query = query.split_whitespace().next()?;
    (!query.is_empty() && query != "…").then_some(query)
}

/// The stretches that a key, a token or a secret of Entra can be.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=_~.-".contains(c)).filter(|run| !run.is_empty())
}

/// Whether it is a JWT, a client secret of Entra, or padded as bytes in base64 are.
///
/// Source: <https://learn.microsoft.com/purview/sit-defn-client-secret-api-key>: three characters, a digit, `Q~`, and 31 to
/// 34 more.
fn is_token(run: &str) -> bool {
    const SHORTEST_JWT: usize = 12;
    const SHORTEST_PADDED: usize = 12;
    let jwt = run.split(['=', '/', '.']).any(|part| part.starts_with("eyJ") && part.len() >= SHORTEST_JWT);
    let entra = run.split_once("Q~").is_some_and(|(before, after)| {
        before.len() >= 4 && before.ends_with(|c: char| c.is_ascii_digit()) && after.len() >= 31
    });
    jwt || entra || (run.len() >= SHORTEST_PADDED && run.ends_with("=="))
}

/// Whether it is long and of everything, as keys in base64 are. Ids and paths are judged by their segments.
fn is_random(run: &str) -> bool {
    let run = without_guids(run);
    if is_path(&run) { run.split('/').any(is_dense) } else { is_dense(&run) }
}

fn is_path(run: &str) -> bool {
    let folded = run.to_ascii_lowercase();
    let rooted = ["/", "./", "../", "~/"].into_iter().any(|start| run.starts_with(start)) && !run.ends_with('=');
    rooted
        || ["subscriptions/", "resourcegroups/", "providers/", "/microsoft."].iter().any(|part| folded.contains(part))
}

fn is_dense(run: &str) -> bool {
    let has = |wanted: fn(&char) -> bool| run.chars().any(|c| wanted(&c));
    let of_everything = has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase) && has(char::is_ascii_digit);
    run.len() >= LONG && of_everything && !is_of_words(run)
}

/// Whether it is put together from words, as `Contoso-Fraud-Train-West-Europe-Workspace-01` is: none is long, and kinds of
/// characters seldom change within one. In base64 every second character is of another kind than the one before.
fn is_of_words(run: &str) -> bool {
    const CHANGES: usize = 6;
    let words: Vec<&str> = run.split(['-', '_', '.', '/']).collect();
    let kind = |c: char| (c.is_ascii_digit(), c.is_ascii_uppercase());
    let changes = |word: &&str| {
        let pairs = word.chars().zip(word.chars().skip(1));
        // A capital begins a word, so what follows it is no change.
        pairs.filter(|(a, b)| kind(*a) != kind(*b) && !(a.is_ascii_uppercase() && b.is_ascii_lowercase())).count()
    };
    let plain = |word: &&str| word.len() <= LONGEST_WORD && word.chars().all(|c| c.is_ascii_alphanumeric());
    words.len() > 2 && words.iter().all(plain) && words.iter().map(changes).sum::<usize>() * CHANGES <= run.len()
}

/// The run without the GUIDs in it, which name and do not open.
fn without_guids(run: &str) -> String {
    const LENGTH: usize = 36;
    let mut left = String::with_capacity(run.len());
    let mut rest = run;
    while let Some(first) = rest.chars().next() {
        match rest.split_at_checked(LENGTH) {
            Some((guid, after)) if Uuid::try_parse(guid).is_ok() => rest = after,
            _ => {
                left.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    const OF_ENTRA: &str = "x4q8Q~kEuZr1uQbnw0-Jv.LPt_2Ys9HdMfaGoXe3";

    #[test]
    fn what_looks_like_a_secret_is_one() {
        assert_eq!(OF_ENTRA.len(), 40);
        let encoded = "https://x.example/?u=https%3A%2F%2Fa%3Fse%3D1%26sig%3Dab";
        for secret in [
            "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=CONNSECRET==;EndpointSuffix=core.windows.net",
            "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=abc=",
            "BlobEndpoint=https://x/;SharedAccessSignature=sv=1",
            "Server=x;User=sa;Password=hunter2",
            "Server=x;Uid=sa;pwd = hunter2",
            "https://acc.blob.core.windows.net/c?sv=2024&sig=abc%3D",
            "?sig=abc",
            encoded,
            "Bearer abcdef",
            "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln",
            "https://user:hunter2@host.example/x",
            "https://user:hun/ter2@host.example/x",
            "https://ghp_token@host.example",
            KEY,
            "c2VjcmV0IQ==",
            OF_ENTRA,
            &OF_ENTRA[..37],
            "abcdefghijABCDEFGHIJ0123456789abcdefghij",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9n",
            "/etc/keyless/Ab3d/Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tqK1SZFPTOtrKBHBeksoGMGw",
        ] {
            assert!(looks_like_one(secret), "{secret}");
            assert_eq!(shown(secret), WORDS);
            assert_eq!(
                without(&format!("`x` is `{secret}`, which is wrong")),
                format!("`x` is {WORDS}, which is wrong")
            );
        }
    }

    #[test]
    fn what_is_merely_wrong_is_shown() {
        for harmless in [
            "/subscriptions/3F8C1D7A-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/RG-Fraud-01/providers/Microsoft.MachineLearningServices/workspaces/Fraud-Train-2",
            "subscription/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroup/Rg1/Microsoft.Storage/storageAccount/x",
            "3F8C1D7A-52b4-4c0e-9d2e-7a1b6c5d4e9",
            "3f8c1d7a52b44c0e9d2e7a1b6c5d4e90",
            "ada@example.com",
            "Storage Blob Data Contributor",
            "Contoso-Fraud-Train-West-Europe-Workspace-01",
            "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "https://login.microsoftonline.com/3F8C1D7A-52b4-4c0e-9d2e-7a1b6c5d4e90/v2.0",
            "/etc/keyless/Production-2/secrets/Azure/client-secret.pem",
            "2026-12-24T00:00:00Z",
            "500d",
            "design=x;config=y",
            "https://***@host.example/?…",
            "bearer",
            "(@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'Raw1')",
        ] {
            assert_eq!(shown(harmless), harmless);
            let message = format!("`{harmless}` is wrong: {harmless}");
            assert_eq!(without(&message), message);
        }
    }

    #[test]
    fn no_part_of_a_secret_is_shown() {
        assert_eq!(part("CONN", "AccountKey=CONN/SECRET=="), WORDS);
        assert_eq!(part("rg", "/subscriptions/s/resourceGroup/rg"), "rg");
    }

    #[test]
    fn a_url_is_shown_without_its_query() {
        assert_eq!(shown("http://a.example/x?token=hunter2"), "http://a.example/x?…");
        assert_eq!(
            without("at `http://a.example/?a=b` and http://a/?c=d now"),
            "at `http://a.example/?…` and http://a/?… now"
        );
    }

    #[test]
    fn a_secret_is_taken_out_of_prose_and_odd_backquotes_stay() {
        assert_eq!(without(&format!("no tag {KEY} here")), format!("no tag {WORDS} here"));
        assert_eq!(without("pwd = hunter2 here"), WORDS);
        assert_eq!(without(&format!("`{WORDS}` is no name")), format!("{WORDS} is no name"));
        for message in ["a ` b", "`a` ` b", "`", "``", "", "a `b` c"] {
            assert_eq!(without(message), message);
        }
        assert!(!without(&format!("`a`{KEY}`b` is wrong")).contains("Eby8"));
    }
}
