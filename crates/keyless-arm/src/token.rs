//! Tokens for the resource manager: kept, renewed early, fetched once for all who wait.
//!
//! azure_identity keeps tokens too, but errors when a renewal fails while the old token still works, and reads the
//! machine's clock; so a [`CachedTokens`] stands above it and asks for a fresh credential each time. A token's life is
//! counted from the moment it was asked for, on a clock that nobody sets: neither a wrong clock of this machine nor one
//! that is set right under way makes a token older or younger than it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::secret::Secret;

pub use crate::token_error::{TokenClass, TokenError};

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
    pub expires: Instant,
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

/// After a failed attempt the next one waits this long, and twice as long after each that follows, up to the second: so
/// that callers do not hammer Entra one after another, and an outage is over for us a minute after it is over.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
const AT_MOST_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Attempts per fetch, and the pause before the second.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(400);

/// Keeps the token of a [`FetchToken`].
pub struct CachedTokens {
    fetch: Arc<dyn FetchToken>,
    timeout: Duration,
    state: Mutex<State>,
    flight: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    renew_at: Option<Instant>,
    failed: Option<Failed>,
    /// Tokens that Azure refused, one after the other.
    refused: Option<Refused>,
}

/// While a new token is refused like the old one, Entra is not asked for another with every call.
struct Refused {
    in_a_row: u32,
    ask_again: Instant,
}

struct Failed {
    in_a_row: u32,
    ask_again: Instant,
    error: TokenError,
}

impl CachedTokens {
    /// Keeps what `fetch` gets; one fetch, its repetitions included, takes at most `timeout`.
    #[must_use]
    pub fn new(fetch: Arc<dyn FetchToken>, timeout: Duration) -> Self {
        Self { fetch, timeout, state: Mutex::default(), flight: tokio::sync::Mutex::new(()) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kept token if it is still valid, and whether it is time to renew it.
    fn kept(&self) -> Option<(Secret, bool)> {
        let now = Instant::now();
        let state = self.state();
        let token = state.token.as_ref()?;
        let valid = now + MARGIN < token.expires;
        valid.then(|| (token.secret.clone(), state.renew_at.is_some_and(|at| at <= now)))
    }

    fn recent_failure(&self) -> Option<TokenError> {
        let state = self.state();
        let Failed { ask_again, error, .. } = state.failed.as_ref()?;
        (Instant::now() < *ask_again).then(|| error.clone())
    }

    async fn fetch_and_keep(&self) -> Result<Secret, TokenError> {
        let fetched = tokio::time::timeout(self.timeout, self.fetch_with_retries()).await.unwrap_or_else(|_| {
            let message = format!("the token endpoint gave none within {:?}", self.timeout);
            Err(TokenError::new(TokenClass::Unreachable, message))
        });
        let now = Instant::now();
        let mut state = self.state();
        match fetched {
            Ok(token) => {
                let life = token.expires.saturating_duration_since(now);
                let renew_at = now + (life - EARLY.min(life / 4));
                debug!(life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX), "token_fetched");
                let secret = token.secret.clone();
                let refused = state.refused.take();
                *state = State { token: Some(token), renew_at: Some(renew_at), failed: None, refused };
                Ok(secret)
            }
            Err(error) => {
                state.renew_at = Some(now + MARGIN);
                let in_a_row = state.failed.as_ref().map_or(0, |failed| failed.in_a_row).saturating_add(1);
                let ask_again = now + pause_after(in_a_row);
                state.failed = Some(Failed { in_a_row, ask_again, error: error.clone() });
                Err(error)
            }
        }
    }

    async fn fetch_with_retries(&self) -> Result<Token, TokenError> {
        // An endpoint that does not answer once may well do so the next time, and everything waits for it.
        let patience = self.timeout / ATTEMPTS;
        let mut attempt = 1;
        loop {
            let fetched = tokio::time::timeout(patience, self.fetch.fetch()).await.unwrap_or_else(|_| {
                let message = format!("the token endpoint did not answer within {patience:?}");
                Err(TokenError::new(TokenClass::Unreachable, message))
            });
            match fetched {
                Err(error) if error.class.is_transient() && attempt < ATTEMPTS => {
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
                        warn!(
                            error_class = error.class.as_str(), hint = error.class.hint(), error = %error,
                            "token_not_renewed"
                        );
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
        let now = Instant::now();
        let mut state = self.state();
        // Several calls may have used the same token; only the first drops it.
        if state.token.as_ref().is_none_or(|token| token.secret != *refused) {
            return;
        }
        let in_a_row = match &state.refused {
            Some(before) if now < before.ask_again => return,
            Some(before) if now < before.ask_again + AT_MOST_AFTER_FAILURE => before.in_a_row.saturating_add(1),
            _ => 1,
        };
        let refused = Some(Refused { in_a_row, ask_again: now + pause_after(in_a_row) });
        *state = State { refused, ..State::default() };
    }
}

/// How long after so many failures in a row the next attempt is made.
fn pause_after(in_a_row: u32) -> Duration {
    let factor = 1_u32.checked_shl(in_a_row.saturating_sub(1)).unwrap_or(u32::MAX).max(1);
    AFTER_FAILURE.saturating_mul(factor).min(AT_MOST_AFTER_FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Mint {
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
            let expires = Instant::now() + self.life;
            Ok(Token { secret: Secret::new(format!("t{number}")), expires })
        }
    }

    fn fixture() -> (Arc<CachedTokens>, Arc<Mint>) {
        let mint =
            Arc::new(Mint { life: Duration::from_secs(3600), made: AtomicUsize::new(0), broken: Mutex::new(None) });
        let source = CachedTokens::new(Arc::clone(&mint) as _, Duration::from_secs(10));
        (Arc::new(source), mint)
    }

    fn outage() -> Option<TokenError> {
        Some(TokenError::new(TokenClass::Unavailable, "503"))
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_does_not_answer_once_is_asked_again_in_good_time() {
        struct Deaf(AtomicUsize);
        #[async_trait]
        impl FetchToken for Deaf {
            async fn fetch(&self) -> Result<Token, TokenError> {
                if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                    std::future::pending::<()>().await;
                }
                let expires = Instant::now() + Duration::from_secs(3600);
                Ok(Token { secret: Secret::new("t".to_owned()), expires })
            }
        }
        let source = CachedTokens::new(Arc::new(Deaf(AtomicUsize::new(0))), Duration::from_secs(20));
        let start = Instant::now();
        assert_eq!(source.token().await.unwrap().expose(), "t");
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_callers_cause_one_fetch() {
        let (source, mint) = fixture();
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
    async fn a_token_is_renewed_ten_minutes_early_counted_from_when_it_was_asked_for() {
        let (source, _) = fixture();
        assert_eq!(source.token().await.unwrap().expose(), "t0");
        tokio::time::advance(Duration::from_secs(2999)).await;
        assert_eq!(source.token().await.unwrap().expose(), "t0");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(source.token().await.unwrap().expose(), "t1");
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_token_serves_through_an_outage_until_it_expires() {
        let (source, mint) = fixture();
        source.token().await.unwrap();
        *mint.broken.lock().unwrap() = outage();
        tokio::time::advance(Duration::from_secs(3100)).await;
        assert_eq!(source.token().await.unwrap().expose(), "t0");
        let fetches = mint.made.load(Ordering::SeqCst);
        assert_eq!(source.token().await.unwrap().expose(), "t0", "the next caller is served without another attempt");
        assert_eq!(mint.made.load(Ordering::SeqCst), fetches);
        tokio::time::advance(Duration::from_secs(480)).await;
        assert!(source.token().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_who_wait_without_asking_again_for_each() {
        let (source, mint) = fixture();
        *mint.broken.lock().unwrap() = outage();
        for _ in 0..20 {
            assert!(source.token().await.is_err());
        }
        assert_eq!(mint.made.load(Ordering::SeqCst), 3, "one fetch of three attempts");
        // Asked for every second over an outage of ten minutes.
        for _ in 0..600 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(source.token().await.is_err());
        }
        let fetches = mint.made.load(Ordering::SeqCst) / 3;
        assert!((10..=16).contains(&fetches), "{fetches}");
        tokio::time::advance(AT_MOST_AFTER_FAILURE).await;
        *mint.broken.lock().unwrap() = None;
        assert!(source.token().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_replaced_once_however_many_calls_used_it() {
        let (source, mint) = fixture();
        let old = source.token().await.unwrap();
        source.renew(&old).await;
        let new = source.token().await.unwrap();
        source.renew(&old).await;
        assert_eq!(source.token().await.unwrap(), new);
        assert_eq!(mint.made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn while_every_token_is_refused_entra_is_asked_once_a_minute() {
        let (source, mint) = fixture();
        for _ in 0..600 {
            let token = source.token().await.unwrap();
            source.renew(&token).await;
            source.renew(&source.token().await.unwrap()).await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let fetches = mint.made.load(Ordering::SeqCst);
        assert!((10..=16).contains(&fetches), "{fetches}");
        // Half an hour later a token that is refused is replaced at once again.
        tokio::time::advance(Duration::from_secs(1800)).await;
        let old = source.token().await.unwrap();
        source.renew(&old).await;
        assert_ne!(source.token().await.unwrap(), old);
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
        let source = CachedTokens::new(Arc::new(Never), Duration::from_secs(10));
        let error = source.token().await.unwrap_err();
        assert_eq!(error.class, TokenClass::Unreachable);
        assert!(error.message.contains("10s"), "{error}");
    }
}
