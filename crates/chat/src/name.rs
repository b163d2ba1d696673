//! Names and texts: what they may be, and how they compare.

use crate::seen::is_unseen;
use unicode_normalization::UnicodeNormalization;

/// What stands before a name that is mentioned.
const SIGN: char = '@';

/// Why something cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SayError {
    /// It must say something.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// Over its limit.
    #[error("{what} has {len} {unit}; it may have at most {max}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long.
        len: usize,
        /// In what.
        unit: &'static str,
        /// How long it may be.
        max: usize,
    },
    /// A character in a name that nobody sees, or that turns the text around.
    #[error("{what} must not have the character U+{code:04X}, which nobody sees")]
    Unseen {
        /// What it is.
        what: &'static str,
        /// Which character.
        code: u32,
    },
    /// A letter that looks like one of another script, among letters of that.
    #[error("{what} must not mix letters of scripts that look alike: U+{code:04X} is one")]
    Mixed {
        /// What it is.
        what: &'static str,
        /// Which character.
        code: u32,
    },
    /// Control characters in a name.
    #[error("{0} must not have control characters")]
    Control(&'static str),
    /// An entry whose payload is not what its kind should be.
    #[error("the entry is not what its kind should be")]
    Malformed,
}

/// A channel's name as shown, and as compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// As it was written.
    pub shown: String,
    /// As it is compared: [`fold`].
    pub folded: String,
}

impl Channel {
    /// A name of 1 to 64 characters, none of them a control character. White space around it and `#` before it are no part of it: `#tea`
    /// is `tea`. Nor are characters that nobody sees, such as those that turn the direction of writing around; spaces of other widths are spaces.
    ///
    /// # Errors
    /// [`SayError::Empty`], [`SayError::TooLong`] or [`SayError::Control`].
    pub fn new(name: &str) -> Result<Channel, SayError> {
        let seen = name.chars().filter(|c| c.is_control() || c.is_whitespace() || !is_unseen(*c));
        let name: String = seen.map(|c| if c.is_whitespace() && !c.is_control() { ' ' } else { c }).collect();
        let name = name.trim_start_matches(|c: char| c == '#' || c.is_whitespace()).trim_end();
        points("a channel's name", name, 1, 64)?;
        if name.chars().any(char::is_control) {
            return Err(SayError::Control("a channel's name"));
        }
        let folded = fold(name);
        // Without case a name may be longer, such as one of ligatures.
        points("a channel's name in lower case", &folded, 1, 64)?;
        Ok(Channel { shown: name.to_owned(), folded })
    }

    /// True if this is how the name of a channel is compared.
    pub fn is_folded(name: &str) -> bool {
        Channel::new(name).is_ok_and(|channel| channel.folded == name)
    }
}

/// A text as it is compared with others: without case, and in one of the forms that look alike (Unicode's canonical caseless
/// matching, D145, then NFC).
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    caseless::default_case_fold_str(&text.nfd().collect::<String>()).nfc().collect()
}

/// False if a text mentions nobody, whatever they are called.
pub fn may_mention(text: &str) -> bool {
    text.contains(SIGN)
}

/// True if `@nick` is in the text, whatever its case, as a word of its own: no letter, digit or `_` before the `@` or after the name, nor a
/// name that goes on after `-` or `.`: `@bo-jo` is not `bo`.
/// Of an empty name there is no mention.
pub fn mentions(text: &str, nick: &str) -> bool {
    if nick.is_empty() || !may_mention(text) {
        return false;
    }
    let (text, nick) = (fold(text), fold(nick));
    // Names are short, so that this is linear in the text, also where one overlaps another.
    text.match_indices(SIGN).any(|(at, sign)| {
        let (before, rest) = text.split_at(at);
        let named = rest.strip_prefix(sign).and_then(|rest| rest.strip_prefix(&nick[..]));
        !goes_on(before.chars().next_back()) && named.is_some_and(is_end)
    })
}

/// True if no name goes on with this.
fn is_end(rest: &str) -> bool {
    let mut next = rest.chars();
    match next.next() {
        Some('-' | '.') => !goes_on(next.next()),
        first => !goes_on(first),
    }
}

/// True if a word goes on with this.
fn goes_on(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Checks that a text has so many characters.
pub(crate) fn points(what: &'static str, text: &str, min: usize, max: usize) -> Result<(), SayError> {
    within(what, text.chars().count(), "characters", min, max)
}

/// Checks that a text has so many bytes.
pub(crate) fn bytes(what: &'static str, text: &str, min: usize, max: usize) -> Result<(), SayError> {
    within(what, text.len(), "bytes", min, max)
}

pub(crate) fn within(
    what: &'static str,
    len: usize,
    unit: &'static str,
    min: usize,
    max: usize,
) -> Result<(), SayError> {
    match len {
        len if len < min => Err(SayError::Empty(what)),
        len if len > max => Err(SayError::TooLong { what, len, unit, max }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_compare_without_case_and_form() {
        let same =
            [("Tea", "tEA"), ("STRASSE", "straße"), ("caf\u{e9}", "CAFE\u{301}"), ("ΣΊΣΥΦΟΣ", "σίσυφος")];
        for (one, other) in same {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_ne!(fold("tea"), fold("te"));
        assert_eq!(Channel::new("Tea Room").unwrap().folded, "tea room");
        for name in
            ["#Tea", " tea\n", "# tea", " ##tea ", "\u{200b}#te\u{ad}a\u{2066}", "\u{a0}tea", "\u{202e}tea"]
        {
            assert_eq!(Channel::new(name).unwrap().folded, "tea", "{name:?}");
        }
        assert_eq!(Channel::new("tea\u{a0}room").unwrap().folded, "tea room");
        assert!(!Channel::is_folded("te\u{200b}a"), "whoever writes so to a channel writes to none");
        for name in [" # ", "\u{200b}", "\u{3164}"] {
            assert!(matches!(Channel::new(name), Err(SayError::Empty(_))), "{name:?}");
        }
    }

    #[test]
    fn names_have_their_limits() {
        let long = "x".repeat(64);
        assert!(Channel::new(&long).is_ok());
        assert!(matches!(Channel::new(&format!("{long}x")), Err(SayError::TooLong { len: 65, .. })));
        assert!(matches!(Channel::new(""), Err(SayError::Empty(_))));
        assert!(matches!(Channel::new("a\nb"), Err(SayError::Control(_))));
        assert!(matches!(Channel::new("a\0"), Err(SayError::Control(_))));
        // 64 characters that fold to 192.
        assert!(matches!(Channel::new(&"\u{fb03}".repeat(64)), Err(SayError::TooLong { len: 192, .. })));
    }

    #[test]
    fn mentions_of_odd_names() {
        assert!(mentions("@a@a@ab", "a@a"), "one that overlaps another");
        assert!(mentions("hi @STRASSE!", "straße") && mentions("@Ann Lee said", "ann lee"));
        assert!(!mentions("@e\u{301}", "e"), "another letter");
        assert!(!mentions("@", "") && !mentions("@ x", ""), "nobody");
    }

    #[test]
    fn mentions_are_whole_words() {
        for text in [
            "@anna",
            "hi @Anna!",
            "@annabel @ANNA",
            "(@anna)",
            "@@anna",
            "x@anna @anna",
            "@anna. So",
            "@anna... so",
            "@anna - so",
        ] {
            assert!(mentions(text, "anna"), "{text}");
        }
        for text in [
            "anna",
            "@annabel",
            "@anna_b",
            "@ann",
            "post@anna.example",
            "@ anna",
            "",
            "@",
            "@anna-lee",
            "@anna.lee",
        ] {
            assert!(!mentions(text, "anna"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_folded_stays_so(name in "\\PC{1,64}") {
            if let Ok(channel) = Channel::new(&name) {
                prop_assert!(Channel::is_folded(&channel.folded), "{:?} {:?}", name, channel.folded);
                prop_assert_eq!(fold(&name.to_uppercase()), fold(&fold(&name.to_uppercase())));
            }
        }
    }
}
