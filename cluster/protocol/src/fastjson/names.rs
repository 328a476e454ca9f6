//! Which member of a struct a name means (`JavaBeanDeserializer.smartMatch`).

/// How well a name fits a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// It is its name.
    Exact,
    /// It is its name in another case, or with `_` or `-` in it.
    Smart,
    /// It is that with `is` before it, which is meant so for a boolean only.
    Is,
}

/// The member that `name` means, of those that have these names.
pub(super) fn find(name: &str, fields: &[&str]) -> Option<(usize, Fit)> {
    if let Some(exact) = fields.iter().position(|field| *field == name) {
        return Some((exact, Fit::Exact));
    }
    let smart = |name: &str| fields.iter().position(|field| same_name(field, name));
    let with_is = || smart(name.strip_prefix("is")?).map(|index| (index, Fit::Is));
    smart(name).map(|index| (index, Fit::Smart)).or_else(with_is)
}

/// Whether two names are the same but for case, `_` and `-`.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    fn plain(name: &str) -> impl Iterator<Item = u8> {
        name.bytes().filter(|byte| !matches!(byte, b'_' | b'-')).map(|byte| byte.to_ascii_lowercase())
    }
    plain(one).eq(plain(other))
}

/// Where the members of a struct are found. An exact name counts again when it comes again, but neither kind of name
/// replaces what came under the other.
pub(super) struct Places {
    found: Vec<Option<(usize, Fit)>>,
}

/// Where a null is: it is found, and left out.
const NULL: usize = usize::MAX;

impl Places {
    pub(super) fn new(fields: usize) -> Self {
        Self { found: vec![None; fields] }
    }

    /// Notes the value at `at`, or a null, for a member.
    pub(super) fn note(&mut self, (index, fit): (usize, Fit), at: Option<usize>) {
        let place = &mut self.found[index];
        let replaces = |before| at.is_some() && (before, fit) == (Fit::Exact, Fit::Exact);
        if place.is_none_or(|(_, before)| replaces(before)) {
            *place = Some((at.unwrap_or(NULL), fit));
        }
    }

    /// The first member from this one on that was found: its index, and where its value is.
    pub(super) fn next(&self, from: usize) -> Option<(usize, usize)> {
        let rest = self.found.get(from..)?;
        let places = rest.iter().enumerate().filter_map(|(index, place)| place.map(|(at, _)| (from + index, at)));
        places.into_iter().find(|(_, at)| *at != NULL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_as_fastjson_does() {
        let fields = ["clientID", "unitMode"];
        assert_eq!(find("clientID", &fields), Some((0, Fit::Exact)));
        for name in ["clientId", "CLIENT_ID", "client-id", "_c_l_i_e_n_t_i_d"] {
            assert_eq!(find(name, &fields), Some((0, Fit::Smart)), "{name}");
        }
        assert_eq!(find("isUnitMode", &fields), Some((1, Fit::Is)));
        assert_eq!(find("client ID", &fields), None);
        assert_eq!(find("", &fields), None);
    }
}
