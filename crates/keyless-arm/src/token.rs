//! Tokens for the resource manager: kept, renewed early, fetched once for all who wait.
//!
//! azure_identity keeps tokens too, but errors when a renewal fails while the old token still works, and reads the
//! machine's clock; so a [`CachedTokens`] stands above it and asks for a fresh credential each time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::secret::Secret;

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TokenError {
    /// What happened; never holds a secret.
    pub message: String,
    /// Whether trying again may help.
    pub transient: bool,
}

/// Where the pipeline gets its tokens.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A token that is valid now.
    ///
    /// # Errors
    /// [`TokenError`] if none can be had.
    async fn token(&self) -> Result<Secret, TokenError>;

    /// Tells that `refused` was not accepted, so that the next token is a new one.
    async fn renew(&self, refused: &Secret);
}

/// One token as it came from Entra or a metadata endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub secret: Secret,
    /// When it stops being accepted.
    pub expires: Timestamp,
}

/// Gets a new token from outside, keeping nothing.
#[async_trait]
pub trait FetchToken: Send + Sync {
    /// A new token.
    ///
    /// # Errors
    /// [`TokenError`] if none can be had.
    async fn fetch(&self) -> Result<Token, TokenError>;
}

/// A token shorter before its end than this is not used: clocks differ and requests take time.
const MARGIN: Duration = Duration::from_secs(30);

/// Renewal starts this long before the end, or at a quarter of a shorter life.
const EARLY: Duration = Duration::from_secs(600);

/// After a failed attempt the next one waits this long, so that callers do not hammer Entra one after another.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Attempts per fetch, and the pause before the second.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(400);

/// Keeps the token of a [`FetchToken`].
pub struct CachedTokens {
    fetch: Arc<dyn FetchToken>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    state: Mutex<State>,
    flight: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    renew_at: Option<Timestamp>,
    failed: Option<(Instant, TokenError)>,
}

impl CachedTokens {
    /// Keeps what `fetch` gets; one fetch, its repetitions included, takes at most `timeout`.
    #[must_use]
    pub fn new(fetch: Arc<dyn FetchToken>, clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        Self { fetch, clock, timeout, state: Mutex::default(), flight: tokio::sync::Mutex::new(()) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kept token if it is still valid, and whether it is time to renew it.
    fn kept(&self) -> Option<(Secret, bool)> {
        let now = self.clock.now();
        let state = self.state();
        let token = state.token.as_ref()?;
        let valid = now.checked_add(MARGIN).is_ok_and(|soon| soon < token.expires);
        valid.then(|| (token.secret.clone(), state.renew_at.is_some_and(|at| at <= now)))
    }

    fn recent_failure(&self) -> Option<TokenError> {
        let state = self.state();
        let (at, error) = state.failed.as_ref()?;
        (at.elapsed() < AFTER_FAILURE).then(|| error.clone())
    }

    async fn fetch_and_keep(&self) -> Result<Secret, TokenError> {
        let fetched = tokio::time::timeout(self.timeout, self.fetch_with_retries()).await.unwrap_or_else(|_| {
            Err(TokenError { message: format!("no token within {:?}", self.timeout), transient: true })
        });
        let now = self.clock.now();
        let mut state = self.state();
        match fetched {
            Ok(token) => {
                let life = Duration::try_from(token.expires.duration_since(now)).unwrap_or_default();
                let early = EARLY.min(life / 4);
                let renew_at = token.expires.checked_sub(early).unwrap_or(token.expires);
                debug!(expires = %token.expires, "token_fetched");
                let secret = token.secret.clone();
                *state = State { token: Some(token), renew_at: Some(renew_at), failed: None };
                Ok(secret)
            }
            Err(error) => {
                state.renew_at = now.checked_add(MARGIN).ok();
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn fetch_with_retries(&self) -> Result<Token, TokenError> {
        let mut attempt = 1;
        loop {
            match self.fetch.fetch().await {
                Err(error) if error.transient && attempt < ATTEMPTS => {
                    debug!(attempt, error = %error, "token_fetch_repeated");
                    tokio::time::sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }
}

#[async_trait]
impl TokenSource for CachedTokens {
    async fn token(&self) -> Result<Secret, TokenError> {
        match self.kept() {
            Some((secret, false)) => return Ok(secret),
            Some((old, true)) => {
                let Ok(_flight) = self.flight.try_lock() else { return Ok(old) };
                return match self.fetch_and_keep().await {
                    Ok(new) => Ok(new),
                    Err(error) => {
                        warn!(error = %error, "token_not_renewed");
                        Ok(self.kept().map_or(old, |(kept, _)| kept))
                    }
                };
            }
            None => {}
        }
        let _flight = self.flight.lock().await;
        if let Some((secret, _)) = self.kept() {
            return Ok(secret);
        }
        if let Some(error) = self.recent_failure() {
            return Err(error);
        }
        self.fetch_and_keep().await
    }

    async fn renew(&self, refused: &Secret) {
        let mut state = self.state();
        // Several calls may have used the same token; only the first drops it.
        if state.token.as_ref().is_some_and(|token| token.secret == *refused) {
            *state = State::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Hand(Mutex<Timestamp>);
    impl Hand {
        fn advance(&self, by: Duration) {
            let mut now = self.0.lock().unwrap();
            *now = now.checked_add(by).unwrap();
        }
    }
    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    struct Mint {
        clock: Arc<Hand>,
        life: Duration,
        made: AtomicUsize,
        broken: Mutex<Option<TokenError>>,
    }
    #[async_trait]
    impl FetchToken for Mint {
        async fn fetch(&self) -> Result<Token, TokenError> {
            let number = self.made.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Some(error) = self.broken.lock().unwrap().clone() {
                return Err(error);
            }
            let expires = self.clock.now().checked_add(self.life).unwrap();
            Ok(Token { secret: Secret::new(format!("t{number}")), expires })
        }
    }

    fn fixture() -> (Arc<CachedTokens>, Arc<Mint>, Arc<Hand>) {
        let clock = Arc::new(Hand(Mutex::new("2026-11-01T00:00:00Z".parse().unwrap())));
        let mint = Arc::new(Mint {
            clock: Arc::clone(&clock),
            life: Duration::from_secs(3600),
            made: AtomicUsize::new(0),
            broken: Mutex::new(None),
        });
        let source = CachedTokens::new(Arc::clone(&mint) as _, Arc::clone(&clock) as _, Duration::from_secs(10));
        (Arc::new(source), mint, clock)
    }

    fn outage() -> Option<TokenError> {
        Some(TokenError { message: "503".to_owned(), transient: true })
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_callers_cause_one_fetch() {
        let (source, mint, _) = fixture();
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let source = Arc::clone(&source);
                tokio::spawn(async move { source.token().await.unwrap() })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().expose(), "t0");
        }
        assert_eq!(mint.made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_ten_minutes_early_by_the_injected_clock() {
        let (source, _, clock) = fixture();
        assert_eq!(source.token().await.unwrap().expose(), "t0");
        clock.advance(Duration::from_secs(2999));
        assert_eq!(source.token().await.unwrap().expose(), "t0");
        clock.advance(Duration::from_secs(2));
        assert_eq!(source.token().await.unwrap().expose(), "t1");
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_token_serves_through_an_outage_until_it_expires() {
        let (source, mint, clock) = fixture();
        source.token().await.unwrap();
        *mint.broken.lock().unwrap() = outage();
        clock.advance(Duration::from_secs(3100));
        assert_eq!(source.token().await.unwrap().expose(), "t0");
        let fetches = mint.made.load(Ordering::SeqCst);
        assert_eq!(source.token().await.unwrap().expose(), "t0", "the next caller is served without another attempt");
        assert_eq!(mint.made.load(Ordering::SeqCst), fetches);
        clock.advance(Duration::from_secs(480));
        assert!(source.token().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_who_wait_without_asking_again_for_each() {
        let (source, mint, _) = fixture();
        *mint.broken.lock().unwrap() = outage();
        for _ in 0..20 {
            assert!(source.token().await.is_err());
        }
        assert_eq!(mint.made.load(Ordering::SeqCst), 3, "one fetch of three attempts");
        tokio::time::advance(AFTER_FAILURE).await;
        *mint.broken.lock().unwrap() = None;
        assert!(source.token().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_replaced_once_however_many_calls_used_it() {
        let (source, mint, _) = fixture();
        let old = source.token().await.unwrap();
        source.renew(&old).await;
        let new = source.token().await.unwrap();
        source.renew(&old).await;
        assert_eq!(source.token().await.unwrap(), new);
        assert_eq!(mint.made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_hangs_is_given_up() {
        struct Never;
        #[async_trait]
        impl FetchToken for Never {
            async fn fetch(&self) -> Result<Token, TokenError> {
                std::future::pending().await
            }
        }
        let (_, _, clock) = fixture();
        let source = CachedTokens::new(Arc::new(Never), clock, Duration::from_secs(10));
        let error = source.token().await.unwrap_err();
        assert!(error.transient && error.message.contains("10s"), "{error}");
    }
}
