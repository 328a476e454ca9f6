//! Images of the disk for oracles and tests: every file by path, with its content.

use super::Disk;

impl Disk {
    /// The files as a program would read them now, sorted by path.
    pub fn cached_files(&self) -> Vec<(String, Vec<u8>)> {
        let files = self.namespace.files(false);
        files.into_iter().filter_map(|(path, id)| Some((path, self.files.get(&id)?.cached_bytes()))).collect()
    }

    /// The files as they are on the media now, sorted by path: durable entries, durable sizes, drained content. This is
    /// what the unkindest power loss would leave.
    pub fn durable_files(&mut self, now_ns: u64) -> Vec<(String, Vec<u8>)> {
        self.advance(now_ns);
        let files = self.namespace.files(true);
        files.into_iter().filter_map(|(path, id)| Some((path, self.files.get(&id)?.durable_bytes()))).collect()
    }
}
