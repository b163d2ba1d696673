//! Properties as JSON text.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// Objects and arrays within each other; more is refused, so that every JSON parser can take what is written out.
pub(crate) const MAX_DEPTH: usize = 64;

/// The characters of a JSON text, each with whether it belongs to a string.
fn characters(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    let (mut inside, mut escaped) = (false, false);
    text.chars().map(move |c| {
        let in_string = inside;
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && c == '\\' && !escaped;
        (c, in_string)
    })
}

/// JSON text without the white space between its tokens, and else as it was.
pub(crate) fn minify(text: &str) -> String {
    let kept = characters(text).filter(|(c, in_string)| *in_string || !is_space(*c));
    kept.map(|(c, _)| c).collect()
}

/// How many objects and arrays are open at the deepest place of a JSON text.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for (c, _) in characters(text).filter(|(_, in_string)| !in_string) {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// True if `text` is what a feature's properties may be: an object or `null`, without white space between tokens, with
/// numbers that fit a double and at most [`MAX_DEPTH`] levels.
pub(crate) fn is_properties(text: &str) -> bool {
    (text == "null" || text.starts_with('{')) && is_sound(text)
}

/// True for JSON without white space between tokens, with numbers that fit a double and at most [`MAX_DEPTH`] levels.
pub(crate) fn is_sound(text: &str) -> bool {
    depth(text) <= MAX_DEPTH && serde_json::from_str::<Sound>(text).is_ok() && is_minified(text)
}

fn is_minified(text: &str) -> bool {
    !characters(text).any(|(c, in_string)| !in_string && is_space(c))
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
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

    let all = serde_json::from_str::<Members<'_>>(object)?.0;
    let last: BTreeMap<String, usize> = all.iter().map(|(key, _)| key.clone()).zip(0..).collect();
    let counted = all.into_iter().zip(0..).filter(|((key, _), i)| last.get(key) == Some(i));
    Ok(counted.map(|((key, value), _)| (key, value.get())).collect())
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
