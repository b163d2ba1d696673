//! Properties as JSON text.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// Objects and arrays within each other; more is refused, so that every JSON parser can take what is written out.
pub(crate) const MAX_DEPTH: usize = 64;

/// The bytes of a JSON text, each with whether it belongs to a string. All that means something is ASCII.
fn bytes(text: &str) -> impl Iterator<Item = (u8, bool)> + '_ {
    let (mut inside, mut escaped) = (false, false);
    text.bytes().map(move |byte| {
        let in_string = inside;
        if byte == b'"' && !escaped {
            inside = !inside;
        }
        escaped = inside && byte == b'\\' && !escaped;
        (byte, in_string)
    })
}

/// JSON text without the white space between its tokens, and else as it was.
pub(crate) fn minify(text: &str) -> String {
    let (mut minified, mut start) = (String::with_capacity(text.len()), 0);
    let spaces = bytes(text).enumerate().filter(|(_, (byte, in_string))| !in_string && is_space(*byte));
    for at in spaces.map(|(at, _)| at).chain([text.len()]) {
        minified.push_str(text.get(start..at).unwrap_or_default());
        start = at + 1;
    }
    minified
}

/// How many objects and arrays are open at the deepest place of a JSON text; none if there is white space between its tokens.
fn depth(text: &str) -> Option<usize> {
    let (mut depth, mut deepest) = (0usize, 0);
    for (byte, _) in bytes(text).filter(|(_, in_string)| !in_string) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            space if is_space(space) => return None,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    Some(deepest)
}

/// True if `text` is what a feature's properties may be: an object or `null`, without white space between tokens, with
/// numbers that fit a double and at most [`MAX_DEPTH`] levels.
pub(crate) fn is_properties(text: &str) -> bool {
    (text == "null" || text.starts_with('{')) && is_sound(text)
}

/// True for JSON without white space between tokens, with numbers that fit a double and at most [`MAX_DEPTH`] levels.
pub(crate) fn is_sound(text: &str) -> bool {
    depth(text).is_some_and(|depth| depth <= MAX_DEPTH) && serde_json::from_str::<Sound>(text).is_ok()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// JSON whose numbers fit a double, looked through and not kept: a text of many small values would take thirty times its
/// length in memory.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Sound)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Sound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_str<E>(self, _: &str) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Sound, A::Error> {
        while items.next_element::<Sound>()?.is_some() {}
        Ok(Sound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Sound, A::Error> {
        while members.next_entry::<Sound, Sound>()?.is_some() {}
        Ok(Sound)
    }
}

/// The top-level members of properties, in their order, each value as it was written. Of those of one name the last counts,
/// as JavaScript has it.
pub(crate) fn members(properties: &str) -> Vec<(String, &str)> {
    parse_members(properties).unwrap_or_default()
}

/// The same, or why it is no object.
pub(crate) fn parse_members(object: &str) -> Result<Vec<(String, &str)>, serde_json::Error> {
    struct Members<'a>(Vec<(String, &'a RawValue)>);

    impl<'de> Deserialize<'de> for Members<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Collect)
        }
    }

    struct Collect;

    impl<'de> Visitor<'de> for Collect {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members<'de>, A::Error> {
            let mut list = Vec::new();
            while let Some(member) = members.next_entry()? {
                list.push(member);
            }
            Ok(Members(list))
        }
    }

    let mut members = serde_json::from_str::<Members<'_>>(object)?.0;
    if has_repeats(&members) {
        let last: BTreeMap<String, usize> = members.iter().map(|(key, _)| key.clone()).zip(0..).collect();
        let mut numbers = 0..;
        members.retain(|(key, _)| last.get(key).copied() == numbers.next());
    }
    Ok(members.into_iter().map(|(key, value)| (key, value.get())).collect())
}

fn has_repeats<T>(members: &[(String, T)]) -> bool {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.iter().zip(names.iter().skip(1)).any(|(a, b)| a == b)
}

/// An object of these members, whose values are JSON.
pub(crate) fn object<K: AsRef<str>>(members: &[(K, &str)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(key, value)| format!("{}:{value}", Value::from(key.as_ref()))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_in_strings_stays() {
        assert_eq!(minify("{ \"a b\" :\n[1.0 , \"\\\" x\\\\\" ,\t2 ] }"), "{\"a b\":[1.0,\"\\\" x\\\\\",2]}");
    }

    #[test]
    fn properties_are_objects_or_null() {
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        let brackets = format!("{{\"a\":\"{}\"}}", "[".repeat(5_000));
        for good in ["{}", "null", r#"{"a":1.10,"a":2}"#, &nested(MAX_DEPTH), &brackets] {
            assert!(is_properties(good), "{good}");
        }
        for bad in [
            "",
            "[]",
            "1",
            "{",
            "{} ",
            "{ }",
            "{}x",
            r#"{"a":1e999}"#,
            &nested(MAX_DEPTH + 1),
            &nested(9_000),
        ] {
            assert!(!is_properties(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn minified_text_means_the_same(s in ".{0,20}", n in any::<i32>()) {
            let value = serde_json::json!({ "k": [s, n, { "x": null }] });
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(minify(&pretty), value.to_string());
        }
    }
}
