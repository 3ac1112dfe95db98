//! The way between the client and the simulated cloud, on paused time: every delay and loss is drawn, everything is
//! written down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use jiff::Timestamp;
use keyless_arm::wire::{Wire, WireError};
use keyless_sim::Simulator;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::aims::{Aims, Hit};
use super::dice::Dice;
use super::draw::WireRates;
use super::judge::Judge;
use super::record::End;

/// What all processes of a run share on their way to the cloud.
pub(crate) struct Road {
    pub(crate) sim: Arc<Simulator>,
    pub(crate) began: Instant,
    judge: Mutex<Judge>,
    chance: Mutex<Chance>,
    aims: Mutex<Aims>,
    hit: Notify,
}

struct Chance {
    rates: WireRates,
    latency: Dice,
    tail: Dice,
    request_lost: Dice,
    answer_lost: Dice,
    late: Dice,
}

/// What is drawn for one request.
struct Fate {
    there: Duration,
    back: Duration,
    request_lost: bool,
    answer_lost: bool,
    late: Option<Duration>,
}

impl Road {
    pub(crate) fn new(sim: Arc<Simulator>, judge: Judge, aims: Aims, seed: u64, rates: WireRates) -> Arc<Self> {
        let chance = Chance {
            rates: rates.calm(),
            latency: Dice::of(seed, "latency"),
            tail: Dice::of(seed, "tail"),
            request_lost: Dice::of(seed, "request lost"),
            answer_lost: Dice::of(seed, "answer lost"),
            late: Dice::of(seed, "late"),
        };
        Arc::new(Self {
            sim,
            began: Instant::now(),
            judge: Mutex::new(judge),
            chance: Mutex::new(chance),
            aims: Mutex::new(aims),
            hit: Notify::new(),
        })
    }

    pub(crate) fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on things go wrong on the way.
    pub(crate) fn trouble(&self, rates: WireRates) {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).rates = rates;
    }

    /// From here on nothing is lost and nothing is slow.
    pub(crate) fn calm(&self) {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        chance.rates = chance.rates.calm();
    }

    /// Virtual time since the run began.
    pub(crate) fn since(&self) -> Duration {
        self.began.elapsed()
    }

    fn fate(&self, writes: bool) -> Fate {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let rates = chance.rates;
        // As many draws for each request, so that one rate does not shift another stream.
        let (mut there, mut back) = (chance.latency.millis(5, rates.latency), chance.latency.millis(5, rates.latency));
        let slow = chance.tail.between(0, 1);
        if chance.tail.chance(rates.tail) {
            *(if slow == 0 { &mut there } else { &mut back }) *= 50;
        }
        let late_by = u64::try_from(rates.late_by.as_millis()).unwrap_or_default();
        let by = chance.late.millis(1, late_by.max(1));
        let late = chance.late.chance(rates.late) && writes;
        Fate {
            there,
            back,
            request_lost: chance.request_lost.chance(rates.request_lost),
            answer_lost: chance.answer_lost.chance(rates.answer_lost),
            late: late.then_some(by),
        }
    }
}

/// The wire of one process.
pub(crate) struct SimWire {
    pub(crate) road: Arc<Road>,
    /// Which process, from 1.
    pub(crate) life: u32,
}

/// Says that a request was given up, unless its end came first.
struct Under<'a> {
    road: &'a Road,
    number: usize,
    open: bool,
}

impl Under<'_> {
    fn ends(mut self, end: End, answer: Option<&Response<Bytes>>) {
        self.open = false;
        self.end(end, answer);
    }

    fn end(&self, end: End, answer: Option<&Response<Bytes>>) {
        let since = self.road.since();
        self.road.judge().record.ends(self.number, since, end, answer);
    }
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        if self.open {
            self.end(End::Abandoned, None);
        }
    }
}

#[async_trait]
impl Wire for SimWire {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        let road = &*self.road;
        let number = road.judge().leaves(self.life, road.since(), &road.sim, &request);
        road.aims(number);
        let under = Under { road, number, open: true };
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::POST);
        let fate = road.fate(writes);
        if let Some(by) = fate.late {
            road.judge().count("wire: late");
            let lands = later(road.sim.now(), by);
            road.judge().record.struck(number, Some("wire: late"), Some(lands));
            let late = Arc::clone(&self.road);
            tokio::spawn(async move {
                tokio::time::sleep(by).await;
                late.arrive(number, request).await;
            });
            if fate.answer_lost {
                return std::future::pending().await;
            }
            tokio::time::sleep(fate.back).await;
            under.ends(End::Lost, None);
            return Err(WireError::Unknown("the connection broke".to_owned()));
        }
        tokio::time::sleep(fate.there).await;
        if fate.request_lost {
            road.judge().count("wire: request lost");
            under.ends(End::Lost, None);
            return Err(WireError::Unknown("the connection broke".to_owned()));
        }
        let answer = road.arrive(number, request).await;
        let Some(answer) = answer else {
            under.ends(End::Lost, None);
            return Err(WireError::Unknown("the connection was reset".to_owned()));
        };
        tokio::time::sleep(fate.back).await;
        if fate.answer_lost {
            road.judge().count("wire: answer lost");
            under.ends(End::Lost, None);
            return Err(WireError::Unknown("the connection broke".to_owned()));
        }
        let told = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if told.is_some_and(|length| length > answer.body().len()) {
            under.ends(End::Lost, None);
            return Err(WireError::Unknown("the answer broke off".to_owned()));
        }
        under.ends(End::Answered, Some(&answer));
        Ok(answer)
    }
}

impl Road {
    /// A request arrives at the cloud, and its answer, if there is one, leaves.
    async fn arrive(&self, number: usize, request: Request<Bytes>) -> Option<Response<Bytes>> {
        self.judge().record.arrives(number, self.since(), self.sim.now());
        let mut call = std::pin::pin!(self.sim.call(request));
        // The effect comes with the first look; what follows is the way of the answer.
        let mut first = true;
        std::future::poll_fn(|context| {
            let polled = call.as_mut().poll(context);
            if std::mem::take(&mut first) {
                self.judge().took_effect(number, &self.sim);
            }
            polled
        })
        .await
        .ok()
        .inspect(|_| self.judge().answered(number, &self.sim))
    }

    /// Something may be meant to happen at this request.
    fn aims(&self, number: usize) {
        let judge = self.judge();
        let Some(entry) = judge.record.entries.get(number) else { return };
        let mut aims = self.aims.lock().unwrap_or_else(PoisonError::into_inner);
        if aims.meant(&judge, entry) {
            self.hit.notify_one();
        }
    }

    /// The next change that is meant for this moment.
    pub(crate) async fn aimed(&self) -> Hit {
        loop {
            if let Some(hit) = self.aims.lock().unwrap_or_else(PoisonError::into_inner).hits.pop_front() {
                return hit;
            }
            self.hit.notified().await;
        }
    }
}

pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}
