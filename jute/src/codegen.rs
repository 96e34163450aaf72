//! Records in, Rust out. Called by the build script for every file in `idl/`.
//!
//! A record whose fields hold text or bytes borrows them from the input and so has a lifetime. Every record
//! gets [`Record`](crate::Record): reading in wire order, writing in wire order, and the least number of bytes
//! it can take, which bounds what a hostile element count may make a reader allocate.
//!
//! Upstream counterpart: `org.apache.jute.compiler.JavaGenerator`. Start reading at [`generate`].

use super::idl::{Class, Module, Type};
use std::{collections::BTreeMap, fmt::Write};

/// Generates one Rust file with a module per Jute module. Record names are unique over all modules.
pub fn generate(modules: &[Module]) -> Result<String, String> {
    let mut home = BTreeMap::new();
    for m in modules {
        for c in &m.classes {
            if home.insert(c.name.as_str(), (m.name.as_str(), c)).is_some() {
                return Err(format!("record {} is defined twice", c.name));
            }
        }
    }
    let mut out = String::new();
    for m in modules {
        doc(&mut out, "", &m.doc, &format!("Records of module `{}`.", m.name));
        let _ = writeln!(
            out,
            "#[allow(clippy::identity_op, clippy::needless_question_mark)]\npub mod {} {{\n    #[allow(unused_imports)]\n    use crate::{{Error, Reader, Record, Text, Writer}};\n",
            m.name
        );
        for c in &m.classes {
            record(&mut out, &home, c)?;
        }
        out.push_str("}\n");
    }
    out.push_str(
        "/// Every record by name, with a function that reads one from bytes and writes it again.\n",
    );
    out.push_str("#[doc(hidden)]\npub const RECORDS: &[(&str, Recode)] = &[\n");
    for (name, (module, _)) in &home {
        let _ = writeln!(out, "    ({name:?}, |b| from_slice::<{module}::{name}>(b).map(|r| to_vec(&r))),");
    }
    out.push_str("];\n");
    Ok(out)
}

type Home<'a> = BTreeMap<&'a str, (&'a str, &'a Class)>;

fn record(out: &mut String, home: &Home<'_>, c: &Class) -> Result<(), String> {
    let borrows = class_borrows(home, c)?;
    let (lt, any) = if borrows { ("<'a>", "<'a>") } else { ("", "") };
    doc(out, "    ", &c.doc, &format!("Record `{}`.", c.name));
    let _ = writeln!(
        out,
        "    #[derive(Clone, Debug, Default, PartialEq, Eq)]\n    pub struct {}{lt} {{",
        c.name
    );
    for f in &c.fields {
        doc(out, "        ", &f.doc, &format!("Field `{}`.", f.name));
        let _ = writeln!(out, "        pub {}: {},", snake(&f.name), rust_type(home, &f.ty, "'a")?);
    }
    out.push_str("    }\n");
    let _ = writeln!(out, "    impl<'a> Record<'a> for {}{any} {{", c.name);
    let mut min = String::from("0");
    for f in &c.fields {
        let _ = write!(min, " + {}", min_len(home, &f.ty)?);
    }
    let _ = writeln!(out, "        const LEN_MIN: usize = {min};");
    out.push_str("        #[allow(unused_variables)]\n        fn read(r: &mut Reader<'a>) -> Result<Self, Error> {\n            Ok(Self {\n");
    for f in &c.fields {
        let _ = writeln!(out, "                {}: {},", snake(&f.name), read(&f.ty));
    }
    out.push_str("            })\n        }\n        #[allow(unused_variables)]\n        fn write(&self, w: &mut Writer<'_>) {\n");
    for f in &c.fields {
        let _ = writeln!(out, "            {}", write_stmt(&f.ty, &format!("self.{}", snake(&f.name))));
    }
    out.push_str("        }\n    }\n");
    Ok(())
}

fn class_borrows(home: &Home<'_>, c: &Class) -> Result<bool, String> {
    for f in &c.fields {
        if borrows(home, &f.ty)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn borrows(home: &Home<'_>, t: &Type) -> Result<bool, String> {
    Ok(match t {
        Type::Boolean | Type::Int | Type::Long => false,
        Type::Ustring | Type::Buffer => true,
        Type::Vector(t) => borrows(home, t)?,
        Type::Record(n) => class_borrows(home, lookup(home, n)?.1)?,
    })
}

fn lookup<'h, 'a>(home: &'h Home<'a>, name: &str) -> Result<&'h (&'a str, &'a Class), String> {
    home.get(name).ok_or_else(|| format!("record {name} is not defined"))
}

fn rust_type(home: &Home<'_>, t: &Type, lt: &str) -> Result<String, String> {
    Ok(match t {
        Type::Boolean => "bool".into(),
        Type::Int => "i32".into(),
        Type::Long => "i64".into(),
        Type::Ustring => format!("Option<Text<{lt}>>"),
        Type::Buffer => format!("Option<&{lt} [u8]>"),
        Type::Vector(t) => format!("Option<Vec<{}>>", rust_type(home, t, lt)?),
        Type::Record(n) => {
            let (module, class) = lookup(home, n)?;
            let lt = if class_borrows(home, class)? { format!("<{lt}>") } else { String::new() };
            format!("crate::{module}::{n}{lt}")
        }
    })
}

fn min_len(home: &Home<'_>, t: &Type) -> Result<String, String> {
    Ok(match t {
        Type::Boolean => "1".into(),
        Type::Int | Type::Ustring | Type::Buffer | Type::Vector(_) => "4".into(),
        Type::Long => "8".into(),
        Type::Record(n) => {
            let (module, _) = lookup(home, n)?;
            format!("crate::{module}::{n}::LEN_MIN")
        }
    })
}

fn read(t: &Type) -> String {
    match t {
        Type::Boolean => "r.bool()?".into(),
        Type::Int => "r.int()?".into(),
        Type::Long => "r.long()?".into(),
        Type::Ustring => "r.text()?".into(),
        Type::Buffer => "r.buffer()?".into(),
        Type::Vector(t) => format!("r.vector(|r| Ok({}))?", read(t)),
        Type::Record(_) => "Record::read(r)?".into(),
    }
}

fn write_stmt(t: &Type, place: &str) -> String {
    match t {
        Type::Boolean => format!("w.bool({place});"),
        Type::Int => format!("w.int({place});"),
        Type::Long => format!("w.long({place});"),
        Type::Ustring => format!("w.text({place}.as_deref());"),
        Type::Buffer => format!("w.buffer({place});"),
        Type::Vector(t) => {
            let element = match **t {
                Type::Boolean | Type::Int | Type::Long | Type::Buffer => "*v",
                _ => "v",
            };
            format!("w.vector({place}.as_deref(), |w, v| {{ {} }});", write_stmt(t, element))
        }
        Type::Record(_) => format!("Record::write(&{place}, w);").replace("&v,", "v,"),
    }
}

fn doc(out: &mut String, indent: &str, lines: &[String], fallback: &str) {
    if lines.is_empty() {
        let _ = writeln!(out, "{indent}/// {fallback}");
    }
    for l in lines {
        let _ = writeln!(out, "{indent}/// {l}");
    }
}

/// `relativeZxid` → `relative_zxid`; Rust keywords get a trailing underscore.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    if matches!(out.as_str(), "type" | "match" | "ref" | "mod" | "move") {
        out.push('_');
    }
    out
}
