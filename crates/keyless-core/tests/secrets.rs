//! A secret that was pasted into a desired file is in no problem and no warning, wherever it stands.

use keyless_core::manifest::{SourceFile, load};

/// Secrets of each kind. Whatever of one may not be told has `hunter2` in it or behind it.
const SECRETS: [&str; 9] = [
    "DefaultEndpointsProtocol=https;AccountName=hunter2;AccountKey=hunter2==;EndpointSuffix=core.windows.net",
    "Endpoint=sb://hunter2.servicebus.windows.net/;SharedAccessKeyName=hunter2;SharedAccessKey=hunter2/hunter2=",
    "/subscriptions/hunter2/AccountKey=hunter2/hunter2==",
    "https://hunter2.blob.core.windows.net/c?sv=2024-11-04&sig=hunter2%3D",
    "Server=hunter2;Password=hunter2",
    "https://ann:hunter2@host.example/hunter2",
    "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodW50ZXIyIn0.hunter2",
    "hunter2K02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "x4q8Q~hunter2uQbnw0-Jv.LPt_2Ys9HdMfaGoXe3",
];

/// The samples, and every file that has something wrong.
fn texts() -> Vec<String> {
    let mut texts = Vec::new();
    for folder in ["config/desired", "tests/desired-errors"] {
        let root = format!("{}/../../{folder}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(root).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        texts.extend(files.filter_map(|bytes| String::from_utf8(bytes).ok()));
    }
    assert!(texts.len() > 20);
    texts
}

/// What is told of a text: problems and warnings.
fn told(text: &str) -> String {
    let (problems, warnings) = match load("desired", &[SourceFile::new("f.yaml", text.as_bytes())]) {
        Ok(accepted) => (Vec::new(), accepted.warnings),
        Err(rejected) => (rejected.problems, rejected.warnings),
    };
    problems.iter().chain(&warnings).map(|problem| format!("{problem}\n")).collect()
}

/// The line with the secret in place of its value, of its key, of a whole value in quotes, and as a tag.
fn pasted(line: &str, secret: &str) -> Vec<String> {
    let indent = &line[..line.len() - line.trim_start_matches([' ', '-']).len()];
    let Some((key, _)) = line.split_once(": ") else { return vec![format!("{indent}{secret}")] };
    let spot = format!("{key}: ");
    vec![
        format!("{spot}{secret}"),
        format!("{spot}'{secret}`x'"),
        format!("{spot}[{{'{secret}': '{secret}'}}]"),
        format!("{spot}!{secret} x"),
        format!("{indent}'{secret}': x"),
    ]
}

#[test]
fn a_secret_in_place_of_any_key_or_value_is_not_told() {
    let (mut lines, mut blanked) = (0, 0);
    for text in texts() {
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            lines += 1;
            // One secret for each line is enough to see a hole, and all of them for each take long.
            let secret = SECRETS[number % SECRETS.len()];
            for line in pasted(line, secret) {
                let changed: Vec<&str> =
                    text.lines().enumerate().map(|(at, old)| if at == number { &line } else { old }).collect();
                let said = told(&changed.join("\n"));
                assert!(!said.contains("hunter2"), "{line}\n{said}");
                blanked += usize::from(said.contains("a value that looks like a secret"));
            }
        }
    }
    assert!(lines > 300 && blanked > lines, "{lines} lines, {blanked} blanked");
}

#[test]
fn what_is_merely_wrong_is_told() {
    for (field, value) in [
        (
            "resourceId",
            "/subscriptions/3F8C1D7A-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroup/Rg-1/providers/Microsoft.Storage/x",
        ),
        ("resourceId", "stFraudMl2"),
        ("sharedKeyAccess", "Disabled2"),
        ("keyIdle", "500d"),
        ("Key-Idle2", "x"),
    ] {
        let said = told(&format!("kind: StorageAccount\nspec:\n  {field}: {value}\n"));
        assert!(said.contains(&format!("`{value}`")) || said.contains(&format!("`{field}`")), "{said}");
        assert!(!said.contains("looks like"), "{said}");
    }
}

/// Reasons are told in plans and events for as long as they hold.
#[test]
fn a_secret_in_a_reason_is_not_kept() {
    let id = "/subscriptions/7c0e5f1a-2b3c-4d5e-8f90-a1b2c3d4e5f6/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ml-a";
    for secret in SECRETS {
        let text = format!(
            "apiVersion: keyless.dev/v1\nkind: Fleet\nspec: {{owner: ml}}\n---\napiVersion: keyless.dev/v1\nkind: Workspace\n\
             metadata: {{name: ml-a}}\nspec:\n  resourceId: {id}\n  authMode: identity\n  suspend:\n    reason: 'audit, see \
             {secret} for now'\n    until: '2099-01-01T00:00:00Z'\n"
        );
        let accepted = load("desired", &[SourceFile::new("f.yaml", text.as_bytes())]).unwrap();
        let own = accepted.desired.workspaces.values().next().unwrap();
        let reason = &own.suspend.as_ref().unwrap().reason;
        assert!(reason.starts_with("audit, see ") && reason.ends_with(" for now"), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
    }
}

/// Names are told in plans and events, and a condition is read by whoever may read role assignments.
#[test]
fn a_secret_in_a_name_is_not_kept_and_one_in_a_condition_is_refused() {
    let head = "apiVersion: keyless.dev/v1\nkind: Fleet\nspec: {owner: ml}\n---\napiVersion: keyless.dev/v1\nkind: Workspace\n\
                metadata: {name: ml-a}\nspec:\n  resourceId: /subscriptions/7c0e5f1a-2b3c-4d5e-8f90-a1b2c3d4e5f6/resourceGroups/\
                rg/providers/Microsoft.MachineLearningServices/workspaces/ml-a\n  authMode: identity\n  access:\n";
    let entry = |name: &str, condition: &str| {
        format!(
            "{head}    - principal: {{user: {{objectId: 0b6a5c1e-7d4f-4a3b-9c2d-8e1f0a9b7c6d, name: '{name}'}}}}\n      \
             level: readOnly\n      condition: \"{condition}\"\n"
        )
    };
    let fine = "(@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'raw')";
    for secret in SECRETS {
        let text = entry(secret, fine);
        let accepted = load("desired", &[SourceFile::new("f.yaml", text.as_bytes())]).unwrap();
        let needs = format!("{:?}", accepted.desired.workspaces.values().next().unwrap().needs);
        assert!(needs.contains("containers:name") && !needs.contains("hunter2"), "{needs}");
    }
    for secret in ["sv=2024-11-04&sig=hunter2", "AccountKey=hunter2", "Password=hunter2"] {
        let text = entry("ann", &format!("(@Resource[x] StringEquals '{secret}')"));
        assert!(load("desired", &[SourceFile::new("f.yaml", text.as_bytes())]).is_err());
        assert!(told(&text).contains("a secret in it") && !told(&text).contains("hunter2"), "{}", told(&text));
    }
}
