//! What simulated clients write.

use super::rng::Rng;
use crate::types::{
    OpCode, ServerId, SessionId,
    members::{Member, Members},
};
use quoll_jute::{Record, Writer, client as rec, data, to_vec};

/// A write as a client means it. Versions are not given; ACLs are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Create {
        path: String,
        data: Vec<u8>,
        owner: Option<SessionId>,
    },
    Set {
        path: String,
        data: Vec<u8>,
    },
    Delete {
        path: String,
    },
    Multi(Vec<Write>),
    Close {
        session: SessionId,
    },
    /// `from`: the version that it is to be made of, or −1.
    Reconfig {
        change: Change,
        from: i64,
    },
}

/// Other members for an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Some leave, then some join or become what their line says.
    Part { leaving: Vec<ServerId>, joining: Vec<(ServerId, Member)> },
    /// All of them anew.
    Whole(Members),
}

impl Change {
    /// What becomes of a configuration, whatever its version.
    pub fn of(&self, active: &Members) -> Members {
        match self {
            Change::Whole(members) => members.clone(),
            Change::Part { leaving, joining } => {
                let mut members = active.clone();
                leaving.iter().for_each(|id| drop(members.servers.remove(id)));
                members.servers.extend(joining.iter().cloned());
                members
            }
        }
    }
}

/// A write of one operation, drawn from few paths.
pub(super) fn simple(rng: &mut Rng, session: SessionId, value: u64) -> Write {
    let mut path = format!("/k{}", rng.below(5));
    if rng.chance(50) {
        path.push_str(&format!("/c{}", rng.below(4)));
    }
    let mut data = value.to_be_bytes().to_vec();
    data.resize(8 + rng.below(300) as usize, 7);
    match rng.below(10) {
        0..5 => Write::Create { path, data, owner: rng.chance(25).then_some(session) },
        5..8 => Write::Set { path, data },
        _ => Write::Delete { path },
    }
}

/// The request: its operation and body.
pub(super) fn encode(write: &Write) -> (OpCode, Vec<u8>) {
    match write {
        Write::Create { path, data, owner } => {
            let id = data::Id { scheme: Some("world".into()), id: Some("anyone".into()) };
            let acl = Some(vec![data::Acl { perms: 31, id }]);
            let flags = i32::from(owner.is_some());
            let path = Some(path.as_str().into());
            (OpCode::Create, to_vec(&rec::CreateRequest { path, data: Some(data), acl, flags }))
        }
        Write::Set { path, data } => {
            let path = Some(path.as_str().into());
            (OpCode::SetData, to_vec(&rec::SetDataRequest { path, data: Some(data), version: -1 }))
        }
        Write::Delete { path } => {
            (OpCode::Delete, to_vec(&rec::DeleteRequest { path: Some(path.as_str().into()), version: -1 }))
        }
        Write::Multi(writes) => {
            let mut out = Vec::new();
            for write in writes {
                let (op, body) = encode(write);
                rec::MultiHeader { type_: op.code(), done: false, err: -1 }.write(&mut Writer::new(&mut out));
                out.extend(body);
            }
            rec::MultiHeader { type_: -1, done: true, err: -1 }.write(&mut Writer::new(&mut out));
            (OpCode::Multi, out)
        }
        Write::Close { .. } => (OpCode::CloseSession, Vec::new()),
        Write::Reconfig { change, from } => {
            let mut record = rec::ReconfigRequest {
                joining_servers: None,
                leaving_servers: None,
                new_members: None,
                cur_config_id: *from,
            };
            match change {
                Change::Part { leaving, joining } => {
                    let joining = joining.iter().map(|(id, member)| format!("server.{}={member}", id.0));
                    let leaving = leaving.iter().map(|id| id.0.to_string());
                    record.joining_servers = Some(joining.collect::<Vec<_>>().join(",").into());
                    record.leaving_servers = Some(leaving.collect::<Vec<_>>().join(",").into());
                }
                Change::Whole(members) => {
                    let text = members.to_string();
                    let lines = text.rsplit_once("version=").map_or("", |(lines, _)| lines);
                    record.new_members = Some(lines.to_owned().into());
                }
            }
            (OpCode::Reconfig, to_vec(&record))
        }
    }
}
