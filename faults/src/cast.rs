//! Who can be hit: the hosts of a scenario by the part they play.

/// How the names of spare machines end.
const SPARE: &str = "-spare";

/// The hosts of a cluster, by their part. The names are those of the simulated machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cast {
    /// The replica groups. One of them, drawn by key, is the target of a fault.
    pub groups: Vec<Group>,
    /// Those whom everybody asks for the way: the name servers.
    pub registries: Vec<String>,
    /// The machines on which producers and consumers run.
    pub clients: Vec<String>,
    /// The servers by the room in which they stand, and so by what fails together. A server that is in none has one of its
    /// own.
    pub rooms: Vec<Vec<String>>,
}

/// Machines that keep the same data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The one that takes writes: the master.
    pub primary: String,
    /// The others: its slaves. Empty where nothing is replicated.
    pub secondaries: Vec<String>,
    /// How many of its members, the primary among them, have each thing that must not be lost. Which of the secondaries they
    /// are is not known.
    pub kept_by: usize,
}

impl Group {
    /// A group of one.
    pub fn alone(primary: impl Into<String>) -> Group {
        Group::of(primary, [])
    }

    /// A group of which every member has everything.
    pub fn of(primary: impl Into<String>, secondaries: impl IntoIterator<Item = String>) -> Group {
        let secondaries = secondaries.into_iter().collect::<Vec<_>>();
        Group { primary: primary.into(), kept_by: 1 + secondaries.len(), secondaries }
    }

    /// Whether everything can be had from these members: from the primary, or from so many of the others that one of them has
    /// each thing.
    pub fn have_everything<'a>(&self, members: impl IntoIterator<Item = &'a str>) -> bool {
        let (mut count, mut has_primary) = (0, false);
        for member in members {
            (count, has_primary) = (count + 1, has_primary || member == self.primary);
        }
        has_primary || count + self.kept_by > 1 + self.secondaries.len()
    }

    /// All machines of the group, the primary first.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.primary.as_str()).chain(self.secondaries.iter().map(String::as_str))
    }
}

impl Cast {
    /// All hosts: servers, then clients.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.servers().chain(self.clients.iter().map(String::as_str))
    }

    /// The servers that stand in one room with this one, itself among them.
    pub fn room_of<'a>(&'a self, host: &'a str) -> Vec<&'a str> {
        let room = self.rooms.iter().find(|room| room.iter().any(|name| name == host));
        room.map_or_else(|| vec![host], |room| room.iter().map(String::as_str).collect())
    }

    /// The name of the machine that waits to take the place of this one.
    pub fn spare_of(host: &str) -> String {
        format!("{host}{SPARE}")
    }

    /// Whether this is the name of such a machine.
    pub fn is_spare(host: &str) -> bool {
        host.ends_with(SPARE)
    }

    /// Everything that keeps data or the way to it: all members of all groups, then the registries.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().flat_map(Group::members).chain(self.registries.iter().map(String::as_str))
    }
}
