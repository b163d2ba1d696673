//! A tag's attributes, and the values that they have in OSM.

use crate::error::{Reason, XmlDamage};
use quick_xml::XmlVersion;
use quick_xml::errors::Error;
use quick_xml::escape::EscapeError;
use quick_xml::events::BytesStart;
use std::borrow::Cow;
use std::str::FromStr;

/// Characters of a bad value that are told.
const TOLD: usize = 40;

/// A tag that opens.
pub(super) struct Attributes<'a>(pub BytesStart<'a>);

impl Attributes<'_> {
    /// The tag's name.
    pub fn name(&self) -> &str {
        self.0.name().into_inner()
    }

    /// Visits each name with its value, in which XML's own entities and characters by number are replaced. Goes on to
    /// the end when a value is bad, and tells of the first.
    pub fn each(
        &self,
        mut visit: impl FnMut(&str, Cow<'_, str>) -> Result<(), Reason>,
    ) -> Result<(), Trouble> {
        let mut visited = Ok(());
        for attribute in self.0.attributes() {
            let attribute = attribute.map_err(|e| XmlDamage::Syntax { reason: e.to_string() })?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(damage)?;
            visited = visited.and(visit(attribute.key.into_inner(), value));
        }
        Ok(visited?)
    }
}

/// What can be wrong with a tag.
pub(super) enum Trouble {
    /// The file is no XML.
    Damage(XmlDamage),
    /// A value is bad: the element is skipped.
    Value(Reason),
}

impl From<XmlDamage> for Trouble {
    fn from(damage: XmlDamage) -> Self {
        Trouble::Damage(damage)
    }
}

impl From<Reason> for Trouble {
    fn from(reason: Reason) -> Self {
        Trouble::Value(reason)
    }
}

fn damage(error: Error) -> XmlDamage {
    match error {
        Error::Escape(EscapeError::UnrecognizedEntity(_, name)) => XmlDamage::Entity { name },
        other => XmlDamage::Syntax { reason: other.to_string() },
    }
}

/// A value of a type that is written as Rust reads it.
pub(super) fn parse<T: FromStr>(attribute: &'static str, value: &str) -> Result<T, Reason> {
    value.parse().map_err(|_| bad_value(attribute, value))
}

/// That an attribute cannot have this value.
pub(super) fn bad_value(attribute: &'static str, value: &str) -> Reason {
    Reason::BadValue { attribute, value: value.chars().take(TOLD).collect() }
}
