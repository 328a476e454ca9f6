//! What can break, as data: the vocabulary of faults, plans made of them, their generation from a seed, their injection.
//!
//! This crate knows hosts, disks and links by name, and nothing of messages: it could break any system that runs on `sim`.
//! The way is *seed → plan → run*: [`generate`] turns a [`Fault`], a key and the [`Cast`] of a scenario into a [`Plan`], a
//! value that can be printed, saved and edited; [`inject`] carries a plan out against a world, and reports what each action
//! did.

#![cfg(not(feature = "real"))]

mod action;
mod budget;
mod cast;
mod check;
mod disks;
mod effect;
mod fault;
mod generate;
mod inject;
mod kind;
mod plan;
mod storm;
mod toll;
mod written;

pub use action::{Action, CrashKind, Damage, Direction, DiskFaultRates, Down, LinkFaultRates, NameFault, Swizzled};
pub use budget::{Budget, Spared};
pub use cast::{Cast, Group};
pub use check::{Machine, Part, PlanError, Site};
pub use disks::Disks;
pub use effect::Effect;
pub use fault::{Fault, FaultError};
pub use generate::{Window, generate};
pub use inject::{Injected, Targets, inject};
pub use kind::{FaultKind, UnknownFault};
pub use plan::{Plan, PlannedEvent};
pub use storm::storm;
pub use toll::{Taken, Toll};
pub use written::{Written, WrittenError};
