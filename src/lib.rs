//! Slipway: a self-hosted platform in one binary. Push, build, release, rollout, route.

pub mod model;
