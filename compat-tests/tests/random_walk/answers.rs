//! Answers as text: everything in them, with times and session ids masked and names sorted.

use std::collections::BTreeMap;
use std::io::Result;
use std::time::SystemTime;

use compat_tests::raw::{Dec, Event, Reply};

/// Session ids by number, in the order they were made.
#[derive(Default)]
pub struct Sessions(BTreeMap<i64, usize>);

impl Sessions {
    pub fn made(&mut self, id: i64) -> usize {
        let number = self.0.len() + 1;
        *self.0.entry(id).or_insert(number)
    }

    fn owner(&self, id: i64) -> String {
        match (id, self.0.get(&id)) {
            (0, _) => "none".to_owned(),
            (_, Some(number)) => format!("session {number}"),
            _ => format!("{id:#x}"),
        }
    }
}

/// The answer to a request of `opcode`; what is left over is shown as bytes.
///
/// # Errors
/// When the answer ends before its time.
pub fn text(opcode: i32, reply: &Reply, sessions: &Sessions) -> Result<String> {
    let mut text = format!("zxid {} code {}", reply.zxid, reply.err);
    let mut reader = Dec(&reply.body);
    if reply.err == 0 {
        text.push_str(&body(opcode, &mut reader, sessions)?);
    }
    if !reader.0.is_empty() {
        text.push_str(&format!(" and bytes {:02x?}", reader.0));
    }
    Ok(text)
}

fn body(opcode: i32, reader: &mut Dec<'_>, sessions: &Sessions) -> Result<String> {
    Ok(match opcode {
        1 | 9 => format!(" {}", data(reader)?),
        15 | 19 | 21 => format!(" {} {}", data(reader)?, stat(reader, sessions)?),
        3 | 5 | 7 => format!(" {}", stat(reader, sessions)?),
        4 => format!(" {} {}", data(reader)?, stat(reader, sessions)?),
        6 => {
            let list = reader.acls()?;
            let list: Vec<String> =
                list.iter().map(|acl| format!("{}={}:{}", acl.perms, acl.scheme, acl.id)).collect();
            format!(" {list:?} {}", stat(reader, sessions)?)
        }
        8 | 103 => format!(" {}", sorted(reader)?),
        12 => format!(" {} {}", sorted(reader)?, stat(reader, sessions)?),
        14 | 22 => results(reader, sessions)?,
        104 | 106 => format!(" {}", reader.int()?),
        107 => {
            let users: Result<Vec<String>> =
                (0..reader.int()?).map(|_| Ok(format!("{}:{}", reader.str()?, reader.str()?))).collect();
            let mut users = users?;
            users.sort();
            format!(" {users:?}")
        }
        _ => String::new(),
    })
}

fn results(reader: &mut Dec<'_>, sessions: &Sessions) -> Result<String> {
    let mut text = String::new();
    loop {
        let (kind, done, code) = (reader.int()?, reader.bool()?, reader.int()?);
        text.push_str(&format!(" [{kind} {code}"));
        if done {
            text.push_str(" done]");
            return Ok(text);
        }
        text.push_str(&match kind {
            -1 => format!(" error {}", reader.int()?),
            kind => body(kind, reader, sessions)?,
        });
        text.push(']');
    }
}

pub fn notification(event: &Event) -> String {
    format!("zxid {} event {} state {} {:?}", event.zxid, event.kind, event.state, event.path)
}

fn data(reader: &mut Dec<'_>) -> Result<String> {
    Ok(reader.buf()?.map_or("null".to_owned(), |bytes| format!("{:?}", String::from_utf8_lossy(&bytes))))
}

fn sorted(reader: &mut Dec<'_>) -> Result<String> {
    let mut names = reader.strings()?;
    names.sort();
    Ok(format!("{names:?}"))
}

fn stat(reader: &mut Dec<'_>, sessions: &Sessions) -> Result<String> {
    let stat = reader.stat()?;
    Ok(format!(
        "{{c{} m{} p{} {} {} v{} cv{} av{} {} l{} n{}}}",
        stat.czxid,
        stat.mzxid,
        stat.pzxid,
        age(stat.ctime),
        age(stat.mtime),
        stat.version,
        stat.cversion,
        stat.aversion,
        sessions.owner(stat.ephemeral_owner),
        stat.data_length,
        stat.num_children
    ))
}

fn age(ms: i64) -> &'static str {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    match now.as_millis() as i64 - ms {
        _ if ms == 0 => "0",
        -5_000..=300_000 => "recent",
        _ => "absurd",
    }
}
