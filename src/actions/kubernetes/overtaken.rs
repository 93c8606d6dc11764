//! A write under an object's version that somebody, mostly a controller with its status, was faster than.
//!
//! Invariant: it is tried again only so often and ever later, each time after a new look: a controller that has just found an object writes several
//! times within a second.

use std::time::Duration;

use super::errors::Trouble;

/// How often it is tried again.
const TIMES: u32 = 8;
/// How long the first wait takes; each other one is twice as long.
const FIRST: Duration = Duration::from_millis(20);

/// How often one write was overtaken.
#[derive(Debug, Default)]
pub(super) struct Overtaken(u32);

impl Overtaken {
    /// Whether the write was refused for the version alone, and is worth another look; waits until then.
    pub(super) async fn again(&mut self, trouble: &Trouble) -> bool {
        let Some(wait) = self.wait(trouble) else { return false };
        tokio::time::sleep(wait).await;
        true
    }

    fn wait(&mut self, trouble: &Trouble) -> Option<Duration> {
        let again = trouble.is_outdated() && self.0 < TIMES;
        again.then(|| {
            let wait = FIRST * 2_u32.pow(self.0);
            self.0 += 1;
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, reason: &str) -> Trouble {
        Trouble::Refused { status, reason: reason.to_owned(), message: "the object has been modified".to_owned(), retry_after: None }
    }

    #[test]
    fn it_is_tried_again_ever_later_and_not_for_ever() {
        let mut overtaken = Overtaken::default();
        let waits: Vec<_> = std::iter::from_fn(|| overtaken.wait(&refused(409, "Conflict"))).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [20, 40, 80, 160, 320, 640, 1280, 2560]);
        assert_eq!(Overtaken::default().wait(&refused(409, "AlreadyExists")), None, "another refusal is none of it");
        assert_eq!(Overtaken::default().wait(&refused(403, "Forbidden")), None);
    }
}
