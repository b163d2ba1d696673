//! What the replicas stand on: this machine, or a world of their own.

use super::Member;
use crate::machine;
use kappadb::{Builder, Database};
use kappadb_sim::{Machine, World};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

pub(super) enum Ground {
    Real(TempDir),
    Simulated(World),
}

impl Ground {
    pub fn real() -> Ground {
        Ground::Real(tempfile::tempdir().expect("temp dir"))
    }

    pub fn is_real(&self) -> bool {
        matches!(self, Ground::Real(_))
    }

    /// How long what was written may take to be everywhere, and how often that is looked at. In a simulation nobody is called sooner than he would be.
    pub fn patience(&self) -> (Duration, Duration) {
        match self {
            Ground::Real(_) => (Duration::from_secs(60), Duration::from_millis(20)),
            Ground::Simulated(_) => (Duration::from_secs(900), Duration::from_secs(1)),
        }
    }

    /// Where the `n`-th replica lives.
    pub fn place(&mut self, n: usize) -> (PathBuf, Option<Machine>) {
        match self {
            Ground::Real(dir) => (dir.path().join(n.to_string()), None),
            Ground::Simulated(world) => {
                let machine = world.machine(n);
                (machine.dir.clone(), Some(machine))
            }
        }
    }

    /// Where one listens that never did.
    pub fn address(&self, machine: Option<&Machine>) -> SocketAddr {
        machine.map_or(([127, 0, 0, 1], 0).into(), |machine| (machine.ip, 0).into())
    }

    /// What is wrong with the connections of these pairs.
    pub fn surplus(&self, members: &[Member], pairs: &[Pair]) -> Option<String> {
        match self {
            Ground::Real(_) => {
                let least: usize = pairs.iter().map(|pair| pair.least).sum();
                let most = pairs.iter().map(|pair| pair.most).sum();
                let open = tcp_connections(members);
                (!(least..=most).contains(&open)).then(|| format!("{open} connections, of {least} to {most}"))
            }
            Ground::Simulated(world) => pairs.iter().find_map(|Pair { one, other, least, most }| {
                let ip = |n: &usize| Some(members[*n].machine.as_ref()?.ip);
                let open = world.network().connections_between(ip(one)?, ip(other)?);
                let is_wrong = !(least..=most).contains(&&open);
                is_wrong
                    .then(|| format!("{open} connections between {one} and {other}, of {least} to {most}"))
            }),
        }
    }
}

/// Two replicas, and how many connections there may be between them.
pub(super) struct Pair {
    pub one: usize,
    pub other: usize,
    pub least: usize,
    pub most: usize,
}

/// Connections that the servers have.
fn tcp_connections(members: &[Member]) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("connections");
    let ports: BTreeSet<u16> =
        members.iter().filter(|m| m.serves).map(|member| member.address.port()).collect();
    let is_ours = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let port = fields.next().and_then(|local| u16::from_str_radix(local.split(':').nth(1)?, 16).ok());
        port.is_some_and(|port| ports.contains(&port)) && fields.nth(1) == Some("01")
    };
    table.lines().filter(is_ours).count()
}

/// How a replica is made and opened.
pub(super) fn builder(dir: &Path, machine: Option<&Machine>) -> Builder {
    // Who knows whom is the history's own business.
    machine.map_or_else(|| Database::builder(dir), machine::builder).introductions(false)
}
