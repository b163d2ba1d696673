//! The fields of an object that are asked for.

use super::LineError;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use std::collections::BTreeMap;
use std::fmt;

/// The fields of a line that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(BTreeMap<&'static str, Field>);

impl Object {
    pub(super) fn of(line: &[u8], names: &'static [&'static str]) -> Result<Object, LineError> {
        let mut from = serde_json::Deserializer::from_slice(line);
        let object = Deserializer::deserialize_any(&mut from, Wanted(names))
            .and_then(|object| from.end().map(|()| object));
        object.map_err(|error| match error.classify() {
            Category::Eof => LineError::CutOff,
            Category::Data => LineError::NoObject,
            Category::Syntax | Category::Io => LineError::NoJson(error.column()),
        })
    }

    /// A field that must be there, as text.
    ///
    /// # Errors
    /// [`LineError::Missing`] or [`LineError::Other`].
    pub fn text(&mut self, name: &'static str) -> Result<String, LineError> {
        self.text_if_any(name)?.ok_or(LineError::Missing(name))
    }

    /// A field that may be missing or null, as text.
    ///
    /// # Errors
    /// [`LineError::Other`].
    pub fn text_if_any(&mut self, name: &'static str) -> Result<Option<String>, LineError> {
        match self.0.remove(name) {
            Some(Field::Text(text)) => Ok(Some(text)),
            None | Some(Field::Null) => Ok(None),
            Some(other) => Err(other.instead_of("text", name)),
        }
    }

    /// A field that must be there, as a whole number; `wanted` says of what, for people.
    ///
    /// # Errors
    /// [`LineError::Missing`] or [`LineError::Other`].
    pub fn whole_number(&mut self, name: &'static str, wanted: &'static str) -> Result<i64, LineError> {
        self.whole_number_if_any(name, wanted)?.ok_or(LineError::Missing(name))
    }

    /// A field that may be missing or null, as a whole number.
    ///
    /// # Errors
    /// [`LineError::Other`].
    pub fn whole_number_if_any(
        &mut self,
        name: &'static str,
        wanted: &'static str,
    ) -> Result<Option<i64>, LineError> {
        match self.0.remove(name) {
            Some(Field::Whole(number)) => Ok(Some(number)),
            None | Some(Field::Null) => Ok(None),
            Some(other) => Err(other.instead_of(wanted, name)),
        }
    }

    /// A field that may be missing or null, as a list of texts.
    ///
    /// # Errors
    /// [`LineError::Other`].
    pub fn texts_if_any(&mut self, name: &'static str) -> Result<Option<Vec<String>>, LineError> {
        match self.0.remove(name) {
            Some(Field::Texts(texts)) => Ok(Some(texts)),
            None | Some(Field::Null) => Ok(None),
            Some(other) => Err(other.instead_of("a list of texts", name)),
        }
    }
}

/// Takes these fields of an object.
struct Wanted(&'static [&'static str]);

impl<'de> Visitor<'de> for Wanted {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            match self.0.iter().find(|name| **name == key) {
                Some(name) => drop(fields.insert(*name, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Object(fields))
    }
}

/// What a field says, as far as any import wants to know.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    Null,
    Text(String),
    Whole(i64),
    Number,
    Truth,
    Texts(Vec<String>),
    List,
    Object,
}

impl Field {
    fn instead_of(&self, wanted: &'static str, name: &'static str) -> LineError {
        let found = match self {
            Field::Null => "null",
            Field::Text(_) => "text",
            Field::Whole(_) | Field::Number => "another number",
            Field::Truth => "true or false",
            Field::Texts(_) | Field::List => "a list",
            Field::Object => "an object",
        };
        let found = if wanted == "text" && found == "another number" { "a number" } else { found };
        LineError::Other { name, wanted, found }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Field, D::Error> {
        from.deserialize_any(AnyField)
    }
}

struct AnyField;

impl<'de> Visitor<'de> for AnyField {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Truth)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field, E> {
        Ok(Field::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
        Ok(i64::try_from(number).map_or(Field::Number, Field::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Number)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field, A::Error> {
        let mut texts = Some(Vec::new());
        while let Some(field) = list.next_element()? {
            match (&mut texts, field) {
                (Some(texts), Field::Text(text)) => texts.push(text),
                _ => texts = None,
            }
        }
        Ok(texts.map_or(Field::List, Field::Texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Object)
    }
}
