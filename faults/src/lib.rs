//! What can break, as data: the vocabulary of faults, plans made of them, their generation from a seed, their injection.
//!
//! This crate knows hosts, disks and links by name, and nothing of messages: it could break any system that runs on `sim`.
//! The way is *seed → plan → run*: [`generate`] turns a [`FaultKind`] and a key into a [`Plan`], a value that can be printed,
//! saved and edited; [`inject`] carries a plan out against a world, and reports what each action did.

#![cfg(not(feature = "real"))]

mod generate;
mod inject;
mod kind;
mod plan;

pub use generate::{Window, generate};
pub use inject::{Effect, Targets, inject};
pub use kind::{FaultKind, UnknownFault};
pub use plan::{Action, CrashKind, Direction, Plan, PlanError, PlannedEvent};
