//! The Jute interface language: text in, records out.
//!
//! A file holds modules, a module holds classes, a class holds typed fields. Line comments that start with
//! three slashes belong to the class or field that follows and become its documentation; all other comments
//! are dropped.
//!
//! Upstream counterpart: the grammar of `org.apache.jute.compiler`. Start reading at [`parse`].

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{tag, take_until, take_while, take_while1},
    character::complete::{char, multispace1, not_line_ending},
    combinator::{map, recognize, value, verify},
    multi::{many0, separated_list1},
    sequence::{delimited, pair, preceded, terminated},
};

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// One byte, 0 or 1.
    Boolean,
    /// Four bytes, big-endian two's complement.
    Int,
    /// Eight bytes, big-endian two's complement.
    Long,
    /// Length and UTF-8 bytes, or null.
    Ustring,
    /// Length and bytes, or null.
    Buffer,
    /// Count and elements, or null.
    Vector(Box<Type>),
    /// Another record, by its name.
    Record(String),
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Documentation lines.
    pub doc: Vec<String>,
    /// Type.
    pub ty: Type,
    /// Name as written, in camel case.
    pub name: String,
}

/// A record: fields in wire order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Documentation lines.
    pub doc: Vec<String>,
    /// Name as written.
    pub name: String,
    /// Fields in wire order.
    pub fields: Vec<Field>,
}

/// A module: a name and its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Documentation lines.
    pub doc: Vec<String>,
    /// Last component of the dotted name.
    pub name: String,
    /// Records in file order.
    pub classes: Vec<Class>,
}

/// Parses a whole file. The error says at which line the text stopped making sense.
pub fn parse(text: &str) -> Result<Vec<Module>, String> {
    match terminated(many0(module), blank).parse(text) {
        Ok(("", modules)) => Ok(modules),
        Ok((rest, _)) | Err(nom::Err::Error(nom::error::Error { input: rest, .. })) => Err(at(text, rest)),
        Err(e) => Err(e.to_string()),
    }
}

fn at(text: &str, rest: &str) -> String {
    let line = text[..text.len() - rest.len()].lines().count().max(1);
    let start: String = rest.trim_start().chars().take(40).collect();
    format!("line {line}: expected a module, class or field near {start:?}")
}

fn module(input: &str) -> IResult<&str, Module> {
    let (input, doc) = docs(input)?;
    let (input, name) = preceded(word("module"), token(dotted)).parse(input)?;
    let (input, classes) = delimited(symbol('{'), many0(class), symbol('}')).parse(input)?;
    let name = name.rsplit('.').next().unwrap_or(name).to_string();
    Ok((input, Module { doc, name, classes }))
}

fn class(input: &str) -> IResult<&str, Class> {
    let (input, doc) = docs(input)?;
    let (input, name) = preceded(word("class"), token(ident)).parse(input)?;
    let (input, fields) = delimited(symbol('{'), many0(field), symbol('}')).parse(input)?;
    Ok((input, Class { doc, name: name.to_string(), fields }))
}

fn field(input: &str) -> IResult<&str, Field> {
    let (input, doc) = docs(input)?;
    let (input, ty) = ty(input)?;
    let (input, name) = terminated(token(ident), symbol(';')).parse(input)?;
    Ok((input, Field { doc, ty, name: name.to_string() }))
}

fn ty(input: &str) -> IResult<&str, Type> {
    alt((
        value(Type::Boolean, word("boolean")),
        value(Type::Int, word("int")),
        value(Type::Long, word("long")),
        value(Type::Ustring, word("ustring")),
        value(Type::Buffer, word("buffer")),
        map(preceded(word("vector"), delimited(symbol('<'), ty, symbol('>'))), |t| Type::Vector(Box::new(t))),
        map(token(dotted), |n: &str| Type::Record(n.rsplit('.').next().unwrap_or(n).to_string())),
    ))
    .parse(input)
}

fn ident(input: &str) -> IResult<&str, &str> {
    recognize(pair(
        take_while1(|c: char| c.is_ascii_alphabetic() || c == '_'),
        take_while(|c: char| c.is_ascii_alphanumeric() || c == '_'),
    ))
    .parse(input)
}

fn dotted(input: &str) -> IResult<&str, &str> {
    recognize(separated_list1(char('.'), ident)).parse(input)
}

fn token<'a>(
    inner: impl Parser<&'a str, Output = &'a str, Error = nom::error::Error<&'a str>>,
) -> impl Parser<&'a str, Output = &'a str, Error = nom::error::Error<&'a str>> {
    preceded(blank, inner)
}

fn word<'a>(w: &'static str) -> impl Parser<&'a str, Output = &'a str, Error = nom::error::Error<&'a str>> {
    token(verify(ident, move |s: &str| s == w))
}

fn symbol<'a>(c: char) -> impl Parser<&'a str, Output = char, Error = nom::error::Error<&'a str>> {
    preceded(blank, char(c))
}

/// White space and comments that are not documentation.
fn blank(input: &str) -> IResult<&str, ()> {
    let comment = verify(recognize(pair(tag("//"), not_line_ending)), |s: &str| !s.starts_with("///"));
    let block = recognize((tag("/*"), take_until("*/"), tag("*/")));
    value((), many0(alt((multispace1, comment, block)))).parse(input)
}

fn docs(input: &str) -> IResult<&str, Vec<String>> {
    let line = preceded((blank, tag("///")), not_line_ending);
    many0(map(line, |s: &str| s.trim().to_string())).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_with_every_type_is_understood() {
        let text = "// dropped\nmodule a.b { /// A thing.\nclass T { boolean a; int b; long c; ustring d; buffer e;\n\
                    /// Many.\nvector<vector<x.U>> f; } /* gone */ class U { } }";
        let modules = parse(text).unwrap();
        assert_eq!(modules[0].name, "b");
        let class = &modules[0].classes[0];
        assert_eq!(class.doc, ["A thing."]);
        assert_eq!(class.fields.len(), 6);
        assert_eq!(class.fields[5].doc, ["Many."]);
        let inner = Type::Vector(Box::new(Type::Record("U".into())));
        assert_eq!(class.fields[5].ty, Type::Vector(Box::new(inner)));
    }

    #[test]
    fn a_mistake_is_named_by_its_line() {
        let e = parse("module m {\n class A {\n int ;\n }\n}").unwrap_err();
        assert!(e.contains("line"), "{e}");
    }
}
