//! The nearest right word to a wrong one, for messages. Nothing is ever accepted because it is near.

/// The word of `words` that `found` was most likely meant to be; none when nothing is near enough to be a slip of the
/// hand (a third of the letters, at least two) or a word cut short.
pub(crate) fn nearest<'a>(found: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_ascii_lowercase();
    // A word of absurd length is no slip, and its distance would cost quadratic time.
    if found.len() > 64 {
        return None;
    }
    // A word cut short, or one written out, is meant as surely as one misspelt.
    let continues = |word: &str| found.len() >= 4 && (word.starts_with(&found) || found.starts_with(word));
    let distance_max = (found.chars().count() / 3).max(2);
    words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&found, word), word))
        // Everything of a short word may differ within two letters: then it is another word.
        .filter(|(distance, word)| continues(word) || *distance <= distance_max && *distance < word.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_slips_and_nothing_else() {
        let words = ["address", "addresses", "gateway", "gateway6", "mtu", "rr", "wrr"];
        for (found, right) in [
            ("adress", Some("address")),
            ("adresses", Some("addresses")),
            ("gatway", Some("gateway")),
            ("mut", Some("mtu")),
            ("RR", Some("rr")),
            ("rrr", Some("rr")),
            ("addr", Some("address")),
            ("colour", None),
            ("xy", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, words), right, "{found}");
        }
        assert_eq!(nearest(&"a".repeat(100_000), words), None);
    }
}
