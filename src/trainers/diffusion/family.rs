//! A family of diffusion models, and the two forms of its names.

/// Whose names a model's modules have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Diffusers,
    Original,
}

/// Diffusion models that have the same names.
#[derive(Debug)]
pub struct Family {
    pub key: &'static str,
    /// The classes of diffusers.
    pub classes: &'static [&'static str],
    /// An original name, with a star for its number, that no other family has.
    pub mark: &'static str,
    /// The beginnings of the names of blocks in diffusers, of those that adapters are usually put into.
    pub blocks: &'static [&'static str],
    pub names: Names,
}

/// What the original names of a family are in diffusers.
#[derive(Debug)]
pub enum Names {
    /// The same.
    Same,
    /// Original names, each with those of diffusers that are its parts.
    Table(&'static [&'static [(&'static str, &'static [&'static str])]]),
    /// Those of the U-Nets of Stable Diffusion, by their numbers.
    UNet,
}
