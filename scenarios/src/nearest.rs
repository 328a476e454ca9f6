//! What somebody may have meant who wrote a name that there is not.

/// How alike two names must be to be taken for one another, from 0 to 1.
const ALIKE: f64 = 0.7;

/// `; did you mean NAME?` with the one of `names` that is most like `name`, or nothing if none is.
pub fn did_you_mean<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let alike = names.into_iter().map(|known| (strsim::normalized_damerau_levenshtein(name, known), known));
    let nearest = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_alike_is_proposed_if_any_is() {
        let names = ["power-loss", "power-loss-all", "os-crash"];
        assert_eq!(did_you_mean("powerloss", names), "; did you mean power-loss?");
        assert_eq!(did_you_mean("os_crahs", names), "; did you mean os-crash?");
        assert_eq!(did_you_mean("fire", names), "");
        assert_eq!(did_you_mean("", names), "");
    }
}
