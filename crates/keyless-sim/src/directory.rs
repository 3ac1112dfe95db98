//! The directory as Microsoft Graph shows it, and the older graph that some clients still ask.
//! Source: <https://learn.microsoft.com/graph/api/directoryobject-getbyids>, azure-cli 2.91.0 `command_modules/role` and
//! c7n_azure 0.7.52 `utils.py` (`GraphHelper`) for what clients ask and read. Whoever has a token may read the directory:
//! design decision.

use serde_json::{Value, json};

use crate::activity::Login;
use crate::azure::Azure;
use crate::request::{Answer, Call, Reply};
use crate::token::{CLIENT_ID, CLIENT_OBJECT_ID, MANAGED_CLIENT_ID, MANAGED_OBJECT_ID, TENANT_ID};
use crate::world::{COMPUTE, ENDPOINT, IDENTITY, WORKSPACE};
use crate::{arm_id, json};

const KINDS: [(&str, Kind); 3] = [
    ("microsoft.graph/users", Kind::User),
    ("microsoft.graph/groups", Kind::Group),
    ("microsoft.graph/serviceprincipals", Kind::ServicePrincipal),
];

/// What an object of the directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Group,
    ServicePrincipal,
}

/// An object of the directory.
struct Entry {
    kind: Kind,
    id: String,
    name: String,
    /// User principal name of a person, client id of an application.
    login: String,
}

impl Kind {
    fn collection(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Group => "groups",
            Self::ServicePrincipal => "servicePrincipals",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::ServicePrincipal => "servicePrincipal",
        }
    }
}

impl Azure {
    /// The answer of a path of either graph; nothing where the path is of none.
    pub(crate) fn graph(&self, call: &Call, lower: &[&str]) -> Option<Reply> {
        let get = call.method == http::Method::GET;
        let post = call.method == http::Method::POST;
        let answer: &dyn Fn() -> Reply = match lower {
            ["v1.0", "directoryobjects", "getbyids"] if post => &|| self.by_ids(call, "ids", Entry::modern),
            ["v1.0", "directoryobjects", id] if get => {
                &|| self.one_of(&[Kind::User, Kind::Group, Kind::ServicePrincipal], id)
            }
            ["v1.0", "users"] if get => &|| self.matching(call, Kind::User),
            ["v1.0", "groups"] if get => &|| self.matching(call, Kind::Group),
            ["v1.0", "serviceprincipals"] if get => &|| self.matching(call, Kind::ServicePrincipal),
            ["v1.0", "users", id] if get => &|| self.one_of(&[Kind::User], id),
            ["v1.0", "groups", id] if get => &|| self.one_of(&[Kind::Group], id),
            ["v1.0", "serviceprincipals", id] if get => &|| self.one_of(&[Kind::ServicePrincipal], id),
            ["v1.0", ..] => {
                &|| Err(refused(400, "Request_BadRequest", &format!("No such resource: '{}'.", call.path())))
            }
            [_, "getobjectsbyobjectids"] if post => &|| self.by_ids(call, "objectIds", Entry::old),
            _ => return None,
        };
        Some(self.authenticate(call).and_then(|_| answer()))
    }

    /// Objects of these ids; unknown ids are passed over.
    fn by_ids(&self, call: &Call, field: &str, show: fn(&Entry) -> Value) -> Reply {
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let Some(ids) = body.get(field).and_then(Value::as_array) else {
            return Err(refused(400, "Request_BadRequest", &format!("'{field}' must be a list.")));
        };
        let types: Vec<String> = body
            .get("types")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|kind| kind.as_str().map(str::to_ascii_lowercase))
            .collect();
        let wanted = |kind: Kind| {
            types.is_empty()
                || types.iter().any(|name| *name == kind.name().to_ascii_lowercase() || name == "directoryobject")
        };
        let found = ids.iter().filter_map(|id| self.directory_entry(id.as_str()?)).filter(|entry| wanted(entry.kind));
        Ok(Answer::ok(json!({"value": found.map(|entry| show(&entry)).collect::<Vec<_>>()})))
    }

    /// An object by its id, or a person by login or an application by client id too.
    fn one_of(&self, kinds: &[Kind], id: &str) -> Reply {
        let by_login = || {
            let person = kinds == [Kind::User];
            self.directory().into_iter().find(|entry| person && entry.login.eq_ignore_ascii_case(id))
        };
        let found = self.directory_entry(id).or_else(by_login).filter(|entry| kinds.contains(&entry.kind));
        found.map(|entry| Answer::ok(entry.modern())).ok_or_else(|| {
            let message = format!(
                "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
            );
            refused(404, "Request_ResourceNotFound", &message)
        })
    }

    /// The objects of a collection that suit the filter: `or` between comparisons with `eq` and `startswith()`, and the one
    /// lambda that clients send.
    fn matching(&self, call: &Call, kind: Kind) -> Reply {
        let filter = call.query("$filter").unwrap_or_default();
        let tests = filter
            .split(" or ")
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                test(part)
                    .ok_or_else(|| refused(400, "Request_UnsupportedQuery", &format!("Unsupported filter: {part}")))
            })
            .collect::<Result<Vec<_>, Answer>>()?;
        let mut found: Vec<Entry> = self.directory().into_iter().filter(|entry| entry.kind == kind).collect();
        found.retain(|entry| tests.is_empty() || tests.iter().any(|test| test.suits(entry)));
        let top = call.query("$top").and_then(|top| top.parse::<usize>().ok()).unwrap_or(usize::MAX);
        let value: Vec<Value> = found.iter().take(top).map(Entry::modern).collect();
        Ok(Answer::ok(json!({
            "@odata.context": format!("{}/v1.0/$metadata#{}", call.origin, kind.collection()), "value": value,
        })))
    }

    fn directory_entry(&self, id: &str) -> Option<Entry> {
        self.directory().into_iter().find(|entry| entry.id.eq_ignore_ascii_case(id))
    }

    /// Everybody: who is in the world's directory, the simulator's own applications, and the identities of resources.
    fn directory(&self) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        for (kind, is) in KINDS {
            for value in self.world.keys_of(kind).filter_map(|key| self.world.get(key)) {
                let id = json::text(value, &["id"]).unwrap_or_default();
                let name = json::text(value, &["displayName"]).unwrap_or(id);
                let login = json::text(value, &["appId"]).or_else(|| json::text(value, &["userPrincipalName"]));
                let login = login.map_or_else(|| made_up_login(is, id, name), str::to_owned);
                all.push(Entry { kind: is, id: id.to_owned(), name: name.to_owned(), login });
            }
        }
        let mut application = |id: &str, name: &str, login: &str| {
            if !all.iter().any(|entry| entry.id.eq_ignore_ascii_case(id)) {
                let (id, name, login) = (id.to_owned(), name.to_owned(), login.to_owned());
                all.push(Entry { kind: Kind::ServicePrincipal, id, name, login });
            }
        };
        application(CLIENT_OBJECT_ID, "keyless-sim client", CLIENT_ID);
        application(MANAGED_OBJECT_ID, "keyless-sim managed identity", MANAGED_CLIENT_ID);
        for kind in [IDENTITY, WORKSPACE, COMPUTE, ENDPOINT] {
            for key in self.world.keys_of(kind) {
                let Some(value) = self.world.get(key) else { continue };
                let at: &[&str] =
                    if kind == IDENTITY { &["properties", "principalId"] } else { &["identity", "principalId"] };
                let Some(id) = json::text(value, at) else { continue };
                let client = json::text(value, &["properties", "clientId"]).unwrap_or(id);
                // Source: MicrosoftDocs/azure-ai-docs `how-to-identity-based-service-authentication.md`: a compute's own
                // identity is named after the path from its workspace on.
                let name = match key.rsplit_once("/workspaces/") {
                    Some((_, below)) if below.contains('/') => below,
                    _ => arm_id::name(key),
                };
                application(id, name, client);
            }
        }
        all
    }
}

impl Azure {
    /// How whoever has this object id signs in; nothing where the world does not know it.
    pub(crate) fn login_of(&self, oid: &str) -> Option<Login> {
        let entry = |kind: Kind, value: &Value| {
            let name = json::text(value, &["displayName"]).unwrap_or(oid).to_owned();
            let login = json::text(value, &["appId"]).or_else(|| json::text(value, &["userPrincipalName"]));
            let login = login.map_or_else(|| made_up_login(kind, oid, &name), str::to_owned);
            match kind {
                Kind::User => Login::Person { name, login },
                Kind::Group | Kind::ServicePrincipal => Login::Application { client: login },
            }
        };
        let key = arm_id::key(oid);
        let found = KINDS.into_iter().find(|(kind, _)| self.world.is_a(kind, &key));
        if let Some((_, kind)) = found {
            return self.world.get(&key).map(|value| entry(kind, value));
        }
        if oid.eq_ignore_ascii_case(CLIENT_OBJECT_ID) {
            return Some(Login::Application { client: CLIENT_ID.to_owned() });
        }
        if oid.eq_ignore_ascii_case(MANAGED_OBJECT_ID) {
            let id = "/managed/identity/of/this/machine".to_owned();
            return Some(Login::ManagedIdentity { client: MANAGED_CLIENT_ID.to_owned(), id });
        }
        self.world.keys_of(IDENTITY).filter_map(|key| self.world.get(key)).find_map(|identity| {
            let own = json::text(identity, &["properties", "principalId"])?;
            let client = json::text(identity, &["properties", "clientId"]).unwrap_or(own).to_owned();
            let id = json::text(identity, &["id"]).unwrap_or_default().to_owned();
            own.eq_ignore_ascii_case(oid).then_some(Login::ManagedIdentity { client, id })
        })
    }
}

/// A login for whoever the world gives none.
fn made_up_login(kind: Kind, id: &str, name: &str) -> String {
    match kind {
        Kind::User => format!("{}@example.com", name.to_ascii_lowercase().replace(' ', ".")),
        Kind::Group => String::new(),
        Kind::ServicePrincipal => id.to_owned(),
    }
}

impl Entry {
    fn modern(&self) -> Value {
        let mut shown = json!({
            "@odata.type": format!("#microsoft.graph.{}", self.kind.name()), "id": self.id, "displayName": self.name,
        });
        let fields = json::into_object(&mut shown);
        match self.kind {
            Kind::User => {
                fields.insert("userPrincipalName".to_owned(), json!(self.login));
                fields.insert("mail".to_owned(), json!(self.login));
            }
            Kind::Group => {
                fields.insert("securityEnabled".to_owned(), json!(true));
                fields.insert("mailEnabled".to_owned(), json!(false));
            }
            Kind::ServicePrincipal => {
                fields.insert("appId".to_owned(), json!(self.login));
                fields.insert("appDisplayName".to_owned(), json!(self.name));
                fields.insert("appOwnerOrganizationId".to_owned(), json!(TENANT_ID));
                fields.insert("servicePrincipalNames".to_owned(), json!([self.login]));
                fields.insert("servicePrincipalType".to_owned(), json!("Application"));
            }
        }
        shown
    }

    fn old(&self) -> Value {
        let (kind, name) = match self.kind {
            Kind::User => ("User", "userPrincipalName"),
            Kind::Group => ("Group", "mailNickname"),
            Kind::ServicePrincipal => ("ServicePrincipal", "appId"),
        };
        let mut shown = json!({
            "odata.type": format!("Microsoft.DirectoryServices.{kind}"), "objectType": kind, "objectId": self.id,
            "displayName": self.name,
        });
        json::into_object(&mut shown).insert(name.to_owned(), json!(self.login));
        if self.kind == Kind::ServicePrincipal {
            json::into_object(&mut shown).insert("servicePrincipalNames".to_owned(), json!([self.login]));
        }
        shown
    }
}

/// One comparison of a filter.
struct Test {
    field: String,
    prefix: bool,
    value: String,
}

fn test(part: &str) -> Option<Test> {
    let unquoted = |text: &str| Some(text.trim().strip_prefix('\'')?.strip_suffix('\'')?.to_ascii_lowercase());
    let part = part.trim_matches(|bracket| bracket == ' ');
    if let Some(inner) = part.strip_prefix("startswith(").and_then(|rest| rest.strip_suffix(')')) {
        let (field, value) = inner.split_once(',')?;
        return Some(Test { field: field.trim().to_ascii_lowercase(), prefix: true, value: unquoted(value)? })
            .filter(Test::known);
    }
    if let Some(inner) = part.strip_prefix("servicePrincipalNames/any(").and_then(|rest| rest.strip_suffix(')')) {
        let (variable, body) = inner.split_once(':')?;
        let (compared, value) = body.split_once(" eq ")?;
        return (compared.trim() == variable.trim()).then(|| {
            Some(Test { field: "serviceprincipalnames".to_owned(), prefix: false, value: unquoted(value)? })
        })?;
    }
    let (field, value) = part.split_once(" eq ")?;
    Some(Test { field: field.trim().to_ascii_lowercase(), prefix: false, value: unquoted(value)? }).filter(Test::known)
}

impl Test {
    fn known(&self) -> bool {
        matches!(self.field.as_str(), "id" | "displayname" | "appid" | "userprincipalname" | "mail")
    }

    fn suits(&self, entry: &Entry) -> bool {
        let application = entry.kind == Kind::ServicePrincipal;
        let own = match self.field.as_str() {
            "id" => &entry.id,
            "displayname" => &entry.name,
            "appid" | "serviceprincipalnames" if application => &entry.login,
            "userprincipalname" | "mail" if entry.kind == Kind::User => &entry.login,
            _ => return false,
        };
        let own = own.to_ascii_lowercase();
        if self.prefix { own.starts_with(&self.value) } else { own == self.value }
    }
}

/// The graph's envelope. Source: <https://learn.microsoft.com/graph/errors>.
fn refused(status: u16, code: &str, message: &str) -> Answer {
    Answer::error(status, code, message)
}
