//! What a change of a feature means for others, and for what is held: by hand here, by files in `import/`.

pub(super) mod append;
mod by_hand;
pub(super) mod carried;
pub(super) mod changes;
pub(super) mod held;
pub(super) mod judge;
pub(super) mod plan;
mod said;
pub(super) mod touched;

pub(super) use by_hand::{check_unused, delete_by_hand, put_by_hand};
pub use carried::CarriedNode;
