//! The singular values and what is computed of them, by the library, on the CPU and on a GPU where there is one.

mod accuracy;
mod devices;
mod lanes;
mod properties;
