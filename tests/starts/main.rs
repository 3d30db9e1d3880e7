//! What starts an app without a Procfile, and which line decided: the programs `lib/start` of the buildpacks, run on small
//! trees. No engine and no stack: they read sources with Python's own library only.

mod compiled;
mod detect;
mod nodejs;
mod npm_start;
mod php;
mod python;
mod ruby;
mod tree;
