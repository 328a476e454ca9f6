//! Who can be hit: the hosts of a scenario by the part they play.

/// The hosts of a cluster, by their part. The names are those of the simulated machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cast {
    /// The replica groups. One of them, drawn by key, is the target of a fault.
    pub groups: Vec<Group>,
    /// Those whom everybody asks for the way: the name servers.
    pub registries: Vec<String>,
    /// The machines on which producers and consumers run.
    pub clients: Vec<String>,
}

/// Machines that keep the same data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The one that takes writes: the master.
    pub primary: String,
    /// The others: its slaves. Empty where nothing is replicated.
    pub secondaries: Vec<String>,
}

impl Group {
    /// A group of one.
    pub fn alone(primary: impl Into<String>) -> Group {
        Group { primary: primary.into(), secondaries: Vec::new() }
    }

    /// All machines of the group, the primary first.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.primary.as_str()).chain(self.secondaries.iter().map(String::as_str))
    }
}

impl Cast {
    /// Everything that keeps data or the way to it: all members of all groups, then the registries.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().flat_map(Group::members).chain(self.registries.iter().map(String::as_str))
    }
}
