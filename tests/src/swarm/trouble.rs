//! What a simulation can do to its replicas, and real machines only suffer.

use super::Swarm;
use super::ground::Ground;
use kappadb_sim::CLOCKS_DIFFER;
use std::time::Duration;

impl Swarm {
    /// Something goes wrong, or is mended, now and then.
    pub(super) async fn trouble(&mut self) {
        if !matches!(self.ground, Ground::Simulated(_)) || !self.random.chance(15) {
            return;
        }
        let who = self.random.index(self.members.len());
        let whom = self.random.index(self.members.len());
        match self.random.below(9) {
            0 => self.part(who, whom),
            1 => self.break_between(who, whom),
            2 => self.freeze(who).await,
            3 => self.cut_power(who).await,
            4 => self.break_disk(who),
            5 => self.garble(who, whom),
            _ => self.heal(),
        }
    }

    /// Everything gets through, and whatever was written by a clock that is ahead is due everywhere.
    pub(super) async fn calm(&mut self) {
        if let Ground::Simulated(_) = &self.ground {
            self.heal();
            for who in 0..self.members.len() {
                if self.members[who].fails {
                    self.cut_power(who).await;
                }
            }
            tokio::time::sleep(2 * CLOCKS_DIFFER).await;
        }
    }

    fn ips(&self, who: usize, whom: usize) -> Option<(std::net::IpAddr, std::net::IpAddr)> {
        let ip = |n: usize| Some(self.members[n].machine.as_ref()?.ip);
        Some((ip(who)?, ip(whom)?)).filter(|_| who != whom)
    }

    fn part(&mut self, who: usize, whom: usize) {
        if let (Some((one, other)), Ground::Simulated(world)) = (self.ips(who, whom), &self.ground) {
            world.network().part(one, other, true);
            self.note(who, format_args!("is parted from {whom}"));
        }
    }

    /// A byte on the way becomes another.
    fn garble(&mut self, who: usize, whom: usize) {
        if let (Some((one, other)), Ground::Simulated(world)) = (self.ips(who, whom), &self.ground) {
            world.network().garble_between(one, other);
            self.note(who, format_args!("is garbled on the way to or from {whom}"));
        }
    }

    /// Soon nothing more gets onto its disk, or it is full.
    fn break_disk(&mut self, who: usize) {
        let some = self.random.below(20);
        let is_full = self.random.chance(50);
        let member = &mut self.members[who];
        let Some(machine) = member.machine.as_ref() else { return };
        match is_full {
            true => machine.disk.set_room(Some(some * 100)),
            false => machine.disk.set_syncs_fail_after(some),
        }
        member.fails = true;
        self.note(who, if is_full { "has a full disk" } else { "has a disk that fails" });
    }

    fn break_between(&mut self, who: usize, whom: usize) {
        if let (Some((one, other)), Ground::Simulated(world)) = (self.ips(who, whom), &self.ground) {
            world.network().break_between(one, other);
            self.note(who, format_args!("loses its connection with {whom}"));
        }
    }

    /// It says nothing for a while.
    async fn freeze(&mut self, who: usize) {
        let Some(ip) = self.members[who].machine.as_ref().map(|machine| machine.ip) else { return };
        let time = Duration::from_millis(self.random.below(8_000));
        if let Ground::Simulated(world) = &self.ground {
            world.network().freeze(ip, true);
            tokio::time::sleep(time).await;
            world.network().freeze(ip, false);
        }
        self.note(who, format_args!("is frozen for {time:?}"));
    }

    /// Nothing that was acknowledged is lost.
    pub(super) async fn cut_power(&mut self, who: usize) {
        let Some(machine) = self.members[who].machine.clone() else { return };
        let loses_derived = self.random.chance(30);
        if let Ground::Simulated(world) = &self.ground {
            world.network().break_all_of(machine.ip);
        }
        machine.cut_power(&mut self.random, loses_derived);
        self.members[who].fails = false;
        self.members[who].abandon().await;
        self.members[who].open().await;
        self.note(who, format_args!("has no power for a moment, derived data is lost: {loses_derived}"));
        let held = super::check::held(self.members[who].database(), self.members[who].feed).await;
        let lost: Vec<u64> =
            self.members[who].said.entries.keys().filter(|id| !held.contains(id)).map(|id| id.seq).collect();
        assert!(
            lost.is_empty(),
            "{who} lost {lost:?}, which it wrote: {}",
            self.members[who].database().warnings().join("; ")
        );
    }

    fn heal(&mut self) {
        if let Ground::Simulated(world) = &self.ground {
            world.network().heal();
            self.history.push("everything gets through".to_owned());
        }
    }
}
