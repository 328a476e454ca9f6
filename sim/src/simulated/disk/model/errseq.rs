//! Write-back errors, each told once per open file: Linux's `errseq_t` (`lib/errseq.c`, since 4.13).
//!
//! A file keeps a counter of its errors and whether anybody has been told of the last one; an open file keeps the counter as it
//! was when it was opened or last synced. A sync that finds a difference tells the error and takes the counter over. Who opens
//! a file whose last error nobody has been told of is told at its first sync; who opens it later is not.
//!
//! A sync whose caller dies goes on in the kernel and counts as told, although nobody lives to hear it.
//!
//! Left out: the loss of a counter when the kernel evicts the inode of a file that nobody has open.

/// The counter of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ErrorSequence {
    errors: u64,
    is_seen: bool,
}

/// The counter as an open file knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenErrors(u64);

impl ErrorSequence {
    /// Pages of the file could not be written (`errseq_set`). Errors that nobody was told of between count as one.
    pub fn set(&mut self) {
        if self.errors == 0 || self.is_seen {
            self.errors += 1;
            self.is_seen = false;
        }
    }

    /// What a new open file begins with (`errseq_sample`).
    pub fn sample(&self) -> SeenErrors {
        SeenErrors(if self.is_seen { self.errors } else { 0 })
    }

    /// Whether there is an error to tell; from now on there is not (`errseq_check_and_advance`).
    pub fn check_and_advance(&mut self, seen: &mut SeenErrors) -> bool {
        let is_news = seen.0 != self.errors;
        if is_news {
            self.is_seen = true;
            seen.0 = self.errors;
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_once_to_everybody_who_had_the_file_open() {
        let mut file = ErrorSequence::default();
        let (mut first, mut second) = (file.sample(), file.sample());
        assert!(!file.check_and_advance(&mut first));
        file.set();
        file.set();
        assert!(file.check_and_advance(&mut first));
        assert!(!file.check_and_advance(&mut first));
        assert!(file.check_and_advance(&mut second), "another open file has a right to know");
        file.set();
        assert!(file.check_and_advance(&mut first) && file.check_and_advance(&mut second));
    }

    #[test]
    fn who_opens_later_is_told_only_what_nobody_was_told_of() {
        let mut file = ErrorSequence::default();
        file.set();
        let mut early = file.sample();
        assert!(file.check_and_advance(&mut early));
        let mut late = file.sample();
        assert!(!file.check_and_advance(&mut late));
    }
}
