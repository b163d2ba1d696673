//! Just enough of XML to write.

use kappadb_geo::{Element, ElementKind, Meta, Shape};
use std::fmt::Write;

/// With characters by number where XML would change them.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' | '&' | '"' | '\t' | '\n' | '\r' => write!(out, "&#{};", u32::from(c)).unwrap(),
            c => out.push(c),
        }
    }
    out
}

fn attributes(meta: &Option<Meta>) -> String {
    let Some(meta) = meta else { return String::new() };
    format!(
        r#" version="{}" changeset="{}" uid="{}" user="{}""#,
        meta.version,
        meta.edit.changeset,
        meta.edit.uid,
        escape(&meta.edit.user)
    )
}

fn degrees(units: i32) -> String {
    let (sign, units) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    format!("{sign}{}.{:07}", units / 10_000_000, units % 10_000_000)
}

/// An element; a way without positions.
pub fn element(id: i64, element: &Element) -> String {
    let kind = element.shape.kind().name();
    let mut out = format!(r#"<{kind} id="{id}"{}"#, attributes(&element.meta));
    match &element.shape {
        Shape::Node(at) => {
            write!(out, r#" lat="{}" lon="{}">"#, degrees(at.lat), degrees(at.lon)).unwrap();
        }
        Shape::Way(nodes) => {
            out.push('>');
            for node in nodes {
                writeln!(out, r#"<nd ref="{}"/>"#, node.id).unwrap();
            }
        }
        Shape::Relation { members, .. } => {
            out.push('>');
            for member in members {
                let (kind, role) = (member.kind.name(), escape(&member.role));
                writeln!(out, r#"<member type="{kind}" ref="{}" role="{role}"/>"#, member.id).unwrap();
            }
        }
    }
    for (key, value) in &element.tags {
        writeln!(out, r#"<tag k="{}" v="{}"/>"#, escape(key), escape(value)).unwrap();
    }
    writeln!(out, "</{kind}>").unwrap();
    out
}

/// A delete.
pub fn gone(kind: ElementKind, id: i64, meta: &Option<Meta>) -> String {
    format!("<{} id=\"{id}\"{} visible=\"false\"/>\n", kind.name(), attributes(meta))
}
