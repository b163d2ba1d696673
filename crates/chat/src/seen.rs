//! What people see of a text, and what only machines do.

use crate::SayError;
use crate::name::{fold, points};
use std::collections::{BTreeMap, BTreeSet};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_security::general_security_profile::IdentifierType;
use unicode_security::{
    GeneralSecurityProfile, MixedScript, is_potential_mixed_script_confusable_char, skeleton,
};

/// Text for a terminal, in which nothing does more than show itself: control characters, format characters (such as those that turn the
/// direction of writing around), separators of lines and paragraphs, and bytes that are no UTF-8 are escaped as Rust does it.
pub fn visible(text: impl AsRef<[u8]>) -> String {
    let mut out = String::new();
    for chunk in text.as_ref().utf8_chunks() {
        for c in chunk.valid().chars() {
            if acts(c) { out.extend(c.escape_default()) } else { out.push(c) }
        }
        out.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    out
}

/// JSON that says the same, and does nothing else on a terminal either.
pub fn visible_json(json: &str) -> String {
    json.chars().fold(String::new(), |mut out, c| {
        // What is ASCII is escaped in JSON already, or stands between values.
        match !c.is_ascii() && acts(c) {
            true => out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
            false => out.push(c),
        }
        out
    })
}

/// As [`visible`] for what somebody calls himself: what nobody sees, and letters that were put among those of another script to look like them,
/// are escaped too.
pub fn visible_name(name: &str) -> String {
    let mixed = is_mixed(name);
    let hides = |c: char| is_unseen(c) || (mixed && is_alike(c));
    name.chars().fold(String::new(), |mut out, c| {
        if hides(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
        out
    })
}

/// What names that people take for one another have in common: the skeleton of UTS 39, without case.
pub fn likeness(name: &str) -> String {
    skeleton(&fold(name)).collect()
}

/// Of some who have names, those whose name another of them has, too, or one that people take for it.
pub fn alike<'a, K: Ord + Copy>(named: impl IntoIterator<Item = (K, &'a str)>) -> BTreeSet<K> {
    let mut by_likeness: BTreeMap<String, BTreeSet<K>> = BTreeMap::new();
    for (who, name) in named {
        by_likeness.entry(likeness(name)).or_default().insert(who);
    }
    by_likeness.into_values().filter(|who| who.len() > 1).flatten().collect()
}

/// Checks what a writer wants to be called: 1 to 32 characters, all of which people see, and of which none looks like a letter of another script among
/// those of that.
///
/// # Errors
/// [`SayError::Empty`], [`SayError::TooLong`], [`SayError::Unseen`], [`SayError::Mixed`].
pub fn check_nick(name: &str) -> Result<(), SayError> {
    points("a nickname", name, 1, 32)?;
    check_name("a nickname", name)
}

fn check_name(what: &'static str, name: &str) -> Result<(), SayError> {
    if let Some(c) = name.chars().find(|c| is_unseen(*c)) {
        return Err(SayError::Unseen { what, code: u32::from(c) });
    }
    match name.chars().find(|c| is_alike(*c)).filter(|_| is_mixed(name)) {
        Some(c) => Err(SayError::Mixed { what, code: u32::from(c) }),
        None => Ok(()),
    }
}

/// Does something to the text around it, or to the terminal.
fn acts(c: char) -> bool {
    use GeneralCategory as Is;
    matches!(c.general_category(), Is::Control | Is::Format | Is::LineSeparator | Is::ParagraphSeparator)
}

/// Nobody can tell that it is there, or tell it from a space.
pub(crate) fn is_unseen(c: char) -> bool {
    acts(c)
        || (c.general_category() == GeneralCategory::SpaceSeparator && c != ' ')
        || c.identifier_type() == Some(IdentifierType::Default_Ignorable)
}

/// Looks like a letter of another script, and is none of ASCII: those are what they seem.
fn is_alike(c: char) -> bool {
    !c.is_ascii() && is_potential_mixed_script_confusable_char(c)
}

/// Letters of one script stand among those of another, and look like them.
fn is_mixed(name: &str) -> bool {
    !name.is_single_script() && name.chars().any(is_alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names, what readers are shown, and whether a writer may have them.
    const CASES: &[(&str, &str, bool)] = &[
        ("anna", "anna", true),
        ("Anna Lee", "Anna Lee", true),
        ("größe", "größe", true),
        ("Иван", "Иван", true),
        ("佐藤さん", "佐藤さん", true),
        ("bo-jo_7", "bo-jo_7", true),
        ("tea ☕", "tea ☕", true),
        ("\u{430}nna", "\\u{430}nna", false),       // Cyrillic а
        ("b\u{3bf}", "b\\u{3bf}", false),           // Greek ο
        ("an\u{200b}na", "an\\u{200b}na", false),   // zero width space
        ("an\u{ad}na", "an\\u{ad}na", false),       // soft hyphen
        ("\u{202e}anna", "\\u{202e}anna", false),   // right-to-left override
        ("anna\u{2066}", "anna\\u{2066}", false),   // isolate
        ("anna\u{a0}lee", "anna\\u{a0}lee", false), // no-break space
        ("\u{3164}", "\\u{3164}", false),           // Hangul filler, a letter that shows nothing
        ("a\u{2028}b", "a\\u{2028}b", false),
        ("a\u{e0041}", "a\\u{e0041}", false), // tag
        ("a\u{fe0f}", "a\\u{fe0f}", false),   // variation selector
        ("a\u{1b}[2J", "a\\u{1b}[2J", false),
    ];

    #[test]
    fn names_that_cannot_be_told_apart_are_refused_and_shown_escaped() {
        for (name, shown, allowed) in CASES {
            assert_eq!(visible_name(name), *shown, "{name:?}");
            assert_eq!(check_name("a name", name).is_ok(), *allowed, "{name:?}");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_likeness() {
        for (one, other) in [
            ("paypal", "\u{440}\u{430}\u{443}\u{440}\u{430}l"),
            ("Bob", "BOB"),
            ("сосо", "coco"),
            ("rn", "m"),
        ] {
            assert_eq!(likeness(one), likeness(other), "{one} {other}");
        }
        assert_ne!(likeness("anna"), likeness("hanna"));
    }

    /// Names, and those of them that are to be told apart by more than the name.
    const APART: &[(&[&str], &[usize])] = &[
        (&["alice", "bob"], &[]),
        (&["alice", "\u{430}\u{4cf}\u{456}\u{441}\u{435}", "bob"], &[0, 1]), // all Cyrillic
        (&["coco", "\u{441}\u{43e}\u{441}\u{43e}"], &[0, 1]),
        (&["alice", "ALICE"], &[0, 1]),
        (&["alice", "alice"], &[0, 1]),
        (&["gr\u{f6}\u{df}e", "gro\u{308}sse"], &[0, 1]),
        (&["modern", "modem", "mo"], &[0, 1]),
        (&["Иван", "Ivan"], &[]),
        (&["anna", "anna2"], &[]),
        (&[], &[]),
    ];

    #[test]
    fn two_names_that_look_alike_are_found_in_whatever_scripts_they_are() {
        for (names, apart) in APART {
            let found = alike(names.iter().copied().enumerate());
            assert_eq!(found, apart.iter().copied().collect(), "{names:?}");
        }
        assert!(alike([(1, "alice"), (1, "alice")]).is_empty(), "one with itself");
    }

    #[test]
    fn json_says_the_same_without_acting() {
        let json = "{\"text\":\"a\u{202e}b\u{e0041} größe\\n\"}";
        assert_eq!(visible_json(json), "{\"text\":\"a\\u202eb\\udb40\\udc41 größe\\n\"}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&visible_json(json)), read(json));
    }

    #[test]
    fn nothing_of_a_text_acts_on_the_terminal() {
        assert_eq!(visible("größe\tx\u{1b}[2J"), "größe\\tx\\u{1b}[2J");
        assert_eq!(visible(b"a\xff\n"), "a\\xff\\n");
        assert_eq!(visible("a\u{202e}b\u{2029}c\u{200b}\u{feff}"), "a\\u{202e}b\\u{2029}c\\u{200b}\\u{feff}");
        assert_eq!(
            visible("caf\u{e9} e\u{301} 日本 ❤\u{fe0f} a\u{a0}b"),
            "caf\u{e9} e\u{301} 日本 ❤\u{fe0f} a\u{a0}b"
        );
    }
}
