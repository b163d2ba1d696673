//! A database on a machine of a world.

use kappadb::{Builder, Database};
use kappadb_sim::Machine;

/// How one is made and opened that stands on all that the machine has, its clock too.
pub fn builder(machine: &Machine) -> Builder {
    Database::builder(&machine.dir)
        .threads(machine.threads.clone())
        .store(machine.store.clone())
        .disk(machine.disk.clone())
        .transport(machine.host.clone())
        .clock(machine.clock)
        .random(machine.chance())
        .state(machine.dir.with_extension("state"))
}
