//! Which name server to ask: a choice that is kept as long as it works, and the next one when it fails.
//!
//! Name servers know nothing of each other, so a client that keeps to one sees a route table without jumps back in
//! time (`NettyRemotingClient.namesrvAddrChoosed`).

/// The known name servers and the chosen one. Plain data; the client locks it.
///
/// ```
/// let mut servers = remoting::name_servers::NameServers::default();
/// servers.update(vec!["ns-1:9876".into(), "ns-2:9876".into()], 7);
/// assert_eq!(servers.chosen(), Some("ns-2:9876"));
/// servers.failed("ns-2:9876");
/// assert_eq!(servers.chosen(), Some("ns-1:9876"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameServers {
    addrs: Vec<String>,
    chosen: usize,
}

impl NameServers {
    /// Replaces the list. A chosen server that is in the new list stays chosen; otherwise `pick` (any number) chooses, so
    /// that the clients spread over the servers.
    pub fn update(&mut self, addrs: Vec<String>, pick: u64) {
        let kept = self.chosen().and_then(|chosen| addrs.iter().position(|addr| addr == chosen));
        self.chosen = kept.unwrap_or_else(|| match u64::try_from(addrs.len()) {
            Ok(count) if count > 0 => usize::try_from(pick % count).unwrap_or(0),
            _ => 0,
        });
        self.addrs = addrs;
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.addrs
    }

    /// The one to ask; `None` if none is known.
    #[must_use]
    pub fn chosen(&self) -> Option<&str> {
        self.addrs.get(self.chosen).map(String::as_str)
    }

    /// `addr` did not answer: if it is the chosen one, the next is chosen. Several callers may report one failure; only
    /// the first moves the choice.
    pub fn failed(&mut self, addr: &str) {
        if self.chosen() == Some(addr) {
            self.chosen = (self.chosen + 1) % self.addrs.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_choice_is_kept_over_updates_and_moves_once_per_failure() {
        let mut known = NameServers::default();
        known.failed("a");
        assert_eq!(known.chosen(), None);
        known.update(servers(&["a", "b", "c"]), 4);
        assert_eq!(known.chosen(), Some("b"));
        known.update(servers(&["c", "b"]), 0);
        assert_eq!(known.chosen(), Some("b"));
        known.failed("b");
        known.failed("b");
        assert_eq!(known.chosen(), Some("c"));
        known.update(servers(&["x", "y"]), 3);
        assert_eq!(known.chosen(), Some("y"));
        known.update(Vec::new(), 3);
        assert_eq!(known.chosen(), None);
    }
}
