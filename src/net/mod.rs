//! What all listeners share: who may connect, how many at once, and who has to go when there is no room.

mod accept;
mod blocks;
mod places;

pub use accept::{accept, after_failed_accept};
pub use blocks::{Block, Blocks};
pub use places::{Bounds, Busy, Place, Places};
