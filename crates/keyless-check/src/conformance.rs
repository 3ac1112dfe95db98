//! Holds the simulator against the model's Azure: the same changes to both, and after each the same questions.
//!
//! The model is the smaller and the more cautious of the two: while a change of the key flag has not come into effect
//! everywhere, it takes for lost what may still work, and never the other way round. Everywhere else both must agree.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use keyless_check::numbers::numbers;
use keyless_check::say;
use keyless_sim::{CLIENT_OBJECT_ID, ClockMode, Knobs, SimOptions, Simulator, Spread, World};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::model::azure::{Act, Azure, Flag, Mode, PERSONS, PLACES, Role, UNDECLARED};

const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml";
const READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
const READ_BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";

/// Everything that takes time takes this long, so that looking a hundred times in between changes nothing.
const LONG: Duration = Duration::from_secs(1_000_000);

/// How long is looked for each time.
const LOOK: Duration = Duration::from_secs(100);

/// Whoever is at work tries `1 << place` times a second, so that the count of what was served says who was.
const TRIES_PER_HOUR: u32 = 3600;

/// The place of the one who signs with the key, behind everybody who works through a workspace.
const KEY_USER: usize = UNDECLARED * PERSONS;

/// How many changes one sequence has.
const CHANGES: usize = 12;

/// What is done to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Act(Act),
    /// Somebody takes a role away, and that has come into effect.
    Revoke(usize),
    /// Time passes until everything has come into effect.
    Wait,
}

/// The simulator's side.
struct Cloud {
    simulator: Simulator,
}

fn account() -> String {
    format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/stmlprod")
}

fn workspace(place: usize) -> String {
    format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw-{place}")
}

fn person(number: usize) -> String {
    format!("11111111-aaaa-4aaa-8aaa-00000000000{number}")
}

fn grant(number: usize) -> String {
    format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/22222222-bbbb-4bbb-8bbb-00000000000{number}",
        account()
    )
}

fn world() -> Vec<Value> {
    let mut world = vec![
        json!({"id": account(), "name": "stmlprod", "type": "Microsoft.Storage/storageAccounts", "location": "westeurope",
            "kind": "StorageV2", "properties": {"provisioningState": "Succeeded"}}),
        json!({"type": "Keyless.Sim/keyUsers", "id": format!("{}/providers/Keyless.Sim/keyUsers/1", account()),
            "properties": {"account": account(), "name": "script", "triesPerHour": TRIES_PER_HOUR << KEY_USER}}),
    ];
    for place in 0..UNDECLARED {
        world.push(json!({"id": workspace(place), "name": format!("mlw-{place}"), "kind": "Default", "location": "westeurope",
            "type": "Microsoft.MachineLearningServices/workspaces", "identity": {"type": "None"},
            "properties": {"storageAccount": account(), "systemDatastoresAuthMode": "AccessKey", "provisioningState": "Succeeded"}}));
        for number in 0..PERSONS {
            world.push(json!({"type": "Keyless.Sim/workloads",
                "id": format!("{}/providers/Keyless.Sim/workloads/{}", workspace(place), person(number)),
                "properties": {"workspace": workspace(place), "principalId": person(number), "dataActions": [READ_BLOBS],
                    "triesPerHour": TRIES_PER_HOUR << (place * PERSONS + number)}}));
        }
    }
    for number in 0..PERSONS {
        world.push(json!({"id": person(number), "type": "Microsoft.Graph/users", "displayName": person(number)}));
    }
    world
}

/// How the simulator is set: every delay long, nothing drawn.
fn knobs() -> Knobs {
    let long = Spread::fixed(LONG);
    Knobs { role_propagation: long, slow_propagation: long, key_effect: LONG, throttling: false, ..Knobs::immediate() }
}

impl Cloud {
    fn new(knobs: Knobs) -> anyhow::Result<Self> {
        let start = Timestamp::from_second(1_793_491_200)?;
        let options = SimOptions { clock: ClockMode::Simulated(start), knobs, ..SimOptions::default() };
        let (world, ignored) = World::from_resources(world());
        ensure!(ignored == 0, "{ignored} parts of the world mean nothing to the simulator");
        Ok(Self { simulator: Simulator::new(world, &options)? })
    }

    async fn ask(&self, method: &str, id: &str, version: &str, body: Option<Value>) -> anyhow::Result<(u16, Value)> {
        let token = self.simulator.token(CLIENT_OBJECT_ID);
        let request = Request::builder()
            .method(method)
            .uri(format!("https://arm.test{id}?api-version={version}"))
            .header("authorization", format!("Bearer {}", token.reveal()))
            .body(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default())?;
        let response = self.simulator.call(request).await?;
        let body = serde_json::from_slice(response.body()).unwrap_or_default();
        Ok((response.status().as_u16(), body))
    }

    async fn done(&self, method: &str, id: &str, version: &str, body: Value) -> anyhow::Result<()> {
        let (status, body) = self.ask(method, id, version, Some(body)).await?;
        ensure!((200..300).contains(&status), "{method} {id} is answered {status}: {body}");
        Ok(())
    }

    async fn change(&self, change: Change) -> anyhow::Result<()> {
        match change {
            Change::Act(Act::Grant(number)) => {
                let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}");
                let body = json!({"properties": {"roleDefinitionId": role, "principalType": "User",
                    "principalId": person(number.into())}});
                self.done("PUT", &grant(number.into()), "2022-04-01", body).await
            }
            Change::Act(Act::SetMode(place, mode)) => {
                let mode = if mode == Mode::Id { "Identity" } else { "AccessKey" };
                let body = json!({"properties": {"systemDatastoresAuthMode": mode}});
                self.done("PATCH", &workspace(place.into()), "2025-09-01", body).await
            }
            Change::Act(Act::SetKey(on)) => {
                let body = json!({"properties": {"allowSharedKeyAccess": on}});
                self.done("PATCH", &account(), "2023-05-01", body).await
            }
            Change::Revoke(number) => {
                let (status, body) = self.ask("DELETE", &grant(number), "2022-04-01", None).await?;
                ensure!([200, 204].contains(&status), "a revocation is answered {status}: {body}");
                self.wait()
            }
            Change::Wait => self.wait(),
        }
    }

    /// Until everything has come into effect.
    fn wait(&self) -> anyhow::Result<()> {
        self.simulator.advance(LONG + LOOK)?;
        Ok(())
    }

    fn served(&self) -> u64 {
        let report = self.simulator.oracle();
        report.tries - report.denied.entitled - report.denied.key_users - report.never_worked
    }

    /// Who is served, by the place of each.
    fn look(&self) -> anyhow::Result<u64> {
        let before = self.served();
        self.simulator.advance(LOOK)?;
        let served = self.served() - before;
        let look = LOOK.as_secs();
        Ok((served + look / 2) / look)
    }

    /// Flag, modes and roles as they are told.
    async fn told(&self) -> anyhow::Result<(bool, [Mode; UNDECLARED], [bool; PERSONS])> {
        let (_, own) = self.ask("GET", &account(), "2023-05-01", None).await?;
        let on = own.pointer("/properties/allowSharedKeyAccess").and_then(Value::as_bool).unwrap_or(true);
        let (mut modes, mut roles) = ([Mode::Key; UNDECLARED], [false; PERSONS]);
        for (place, mode) in modes.iter_mut().enumerate() {
            let (_, own) = self.ask("GET", &workspace(place), "2025-09-01", None).await?;
            let told = own.pointer("/properties/systemDatastoresAuthMode").and_then(Value::as_str);
            *mode = match told.map(str::to_ascii_lowercase).as_deref() {
                Some("identity") => Mode::Id,
                Some("accesskey") => Mode::Key,
                other => bail!("the mode of a workspace is told as {other:?}"),
            };
        }
        for (number, role) in roles.iter_mut().enumerate() {
            *role = self.ask("GET", &grant(number), "2022-04-01", None).await?.0 == 200;
        }
        Ok((on, modes, roles))
    }
}

/// The model's side.
struct Abstract {
    azure: Azure,
    /// Whether the flag was changed and the change may not be in effect.
    key_unsettled: bool,
}

impl Abstract {
    fn new() -> Self {
        let mut modes = [Some(Mode::Key); PLACES];
        modes[UNDECLARED] = None;
        let azure = Azure {
            flag: Flag::On,
            modes,
            roles: [Role::Absent; PERSONS],
            key_user: true,
            quiet: false,
            around: Default::default(),
        };
        Self { azure, key_unsettled: false }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Act(act) => {
                let after = self.azure.after(act);
                self.key_unsettled |= after.flag != self.azure.flag;
                self.azure = after;
            }
            Change::Revoke(number) => {
                self.wait();
                if let Some(role) = self.azure.roles.get_mut(number) {
                    *role = Role::Absent;
                }
            }
            Change::Wait => self.wait(),
        }
    }

    fn wait(&mut self) {
        for role in self.azure.roles.iter_mut().filter(|role| **role == Role::Fresh) {
            *role = Role::Works;
        }
        if self.azure.flag == Flag::Fresh {
            self.azure.flag = Flag::On;
        }
        self.key_unsettled = false;
    }

    /// Who is served by it, and for whom it has no opinion.
    fn look(&self) -> (u64, u64) {
        let (mut served, mut open) = (0, 0);
        for place in 0..UNDECLARED {
            for number in 0..PERSONS {
                let bit = 1 << (place * PERSONS + number);
                served |= if self.azure.has_access(place, number) { bit } else { 0 };
                let by_key = self.azure.modes.get(place) == Some(&Some(Mode::Key));
                open |= if by_key && self.key_unsettled { bit } else { 0 };
            }
        }
        served |= if self.azure.key_is_used() { 1 << KEY_USER } else { 0 };
        open |= if self.key_unsettled { 1 << KEY_USER } else { 0 };
        (served, open)
    }
}

fn drawn(random: &mut ChaCha8Rng) -> Change {
    let number = random.random_range(0..PERSONS);
    let place = random.random_range(0..u8::try_from(UNDECLARED).unwrap_or(1));
    match random.random_range(0..8u8) {
        0 | 1 => Change::Act(Act::Grant(u8::try_from(number).unwrap_or_default())),
        2 | 3 => Change::Act(Act::SetMode(place, if random.random() { Mode::Id } else { Mode::Key })),
        4 | 5 => Change::Act(Act::SetKey(random.random())),
        6 => Change::Revoke(number),
        _ => Change::Wait,
    }
}

/// One sequence of changes to both.
async fn sequence(knobs: Knobs, seed: u64, number: u64) -> anyhow::Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    let (cloud, mut model) = (Cloud::new(knobs)?, Abstract::new());
    let mut done = Vec::new();
    for _ in 0..CHANGES {
        let change = drawn(&mut random);
        done.push(change);
        cloud.change(change).await.with_context(|| format!("after {done:?}"))?;
        model.change(change);
        let (on, modes, roles) = cloud.told().await?;
        let expected = model.azure;
        ensure!(
            on == (expected.flag != Flag::Off),
            "the flag is told as {on}, and is {:?}, after {done:?}",
            expected.flag
        );
        for (place, mode) in modes.iter().enumerate() {
            let own = expected.modes.get(place);
            ensure!(own == Some(&Some(*mode)), "the mode {place} is told as {mode:?}, and is {own:?}, after {done:?}");
        }
        for (number, told) in roles.iter().enumerate() {
            let own = expected.roles.get(number);
            ensure!(
                *told == (own != Some(&Role::Absent)),
                "role {number} is told as {told}, and is {own:?}, after {done:?}"
            );
        }
        let (served, (meant, open)) = (cloud.look()?, model.look());
        let wrong = (served ^ meant) & !open;
        ensure!(wrong == 0, "served are {served:#b}, and should be {meant:#b}, after {done:?}");
        // What the model takes for granted has to be so, whether the flag has settled or not.
        let lost = meant & open & !served & !(1 << KEY_USER);
        ensure!(lost == 0, "{lost:#b} should be served and are not, after {done:?}");
    }
    Ok(())
}

/// How many sequences were compared.
fn agree(knobs: &Knobs, from: u64, sequences: u64, seed: u64) -> anyhow::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let mut done = 0;
    numbers(from, sequences)?.try_for_each(|number| {
        done += 1;
        runtime.block_on(sequence(knobs.clone(), seed, number)).with_context(|| {
            format!(
                "the simulator and the model part in sequence {number}\n\
                 again: keyless-check conformance --seed {seed} --from {number} --sequences 1"
            )
        })
    })?;
    ensure!(done > 0, "no sequence was run");
    Ok(done)
}

/// Makes the same random changes to both sides, and compares.
///
/// # Errors
/// At the first sequence in which they part, or if there is none to make.
pub(crate) fn run(from: u64, sequences: u64, seed: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    let done = agree(&knobs(), from, sequences, seed)?;
    say!(
        "{done} sequences of {CHANGES} changes from number {from} of seed {seed}, in {:.1} s: the simulator and the \
         model's Azure agree after each",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use keyless_sim::Faults;

    use super::*;

    /// The whole of it is `keyless-check conformance`.
    const QUICK: u64 = 60;

    #[test]
    fn the_simulator_and_the_model_agree() {
        agree(&knobs(), 0, QUICK, 1).unwrap();
    }

    #[test]
    fn no_sequences_agree_with_nothing() {
        assert!(agree(&knobs(), 0, 0, 1).is_err());
        assert!(agree(&knobs(), u64::MAX, 2, 1).is_err());
    }

    #[test]
    fn a_simulator_with_a_bug_is_found_out() {
        let ignoring = |operation: &str| {
            let rules = json!({"rules": [{"operation": operation, "fault": "ignored"}]});
            Knobs { faults: Faults::parse(&rules.to_string()).unwrap(), ..knobs() }
        };
        let planted = [
            ("roles work at once", Knobs { role_propagation: Spread::fixed(Duration::ZERO), ..knobs() }),
            ("roles never work", Knobs { role_propagation: Spread::fixed(LONG * 100), ..knobs() }),
            ("the key never goes off", Knobs { key_effect: LONG * 100, ..knobs() }),
            ("the flag is not written", ignoring("PATCH /…/storageAccounts/{}")),
            ("the mode is not written", ignoring("PATCH /…/workspaces/{}")),
        ];
        for (bug, knobs) in planted {
            let found = agree(&knobs, 0, QUICK, 1);
            assert!(found.is_err(), "{bug}: not noticed in {QUICK} sequences");
        }
    }
}
