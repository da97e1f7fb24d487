//! A plan -> its parts, for several machines.

use std::collections::BTreeSet;

use super::division::{Load, divide};
use super::{Plan, flops};
use crate::modules::Module;
use crate::scan::{Part, Portion};

/// What a part of a scan takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Share {
    pub modules: usize,
    /// How many files have its modules.
    pub files: usize,
    /// The bytes of these files.
    pub bytes: u64,
    pub flops: f64,
}

impl Plan {
    /// Divides the modules into so many parts, at least one, as [`divide`] does. Returns the part of each, counted from 0.
    fn division(&self, parts: usize) -> Vec<usize> {
        let load = |module: &Module| {
            let shard = module.shards().last().copied().unwrap_or(0);
            Load { flops: flops(module), shard }
        };
        divide(&self.modules.iter().map(load).collect::<Vec<_>>(), parts)
    }

    /// A part of the plan. Every machine that has the same headers gets the same parts.
    pub fn into_part(self, part: Part) -> Self {
        let part_of = self.division(part.of);
        let total = self.modules.len();
        let own = self.modules.into_iter().enumerate().filter(|(place, _)| part_of[*place] + 1 == part.number);
        let (places, modules): (Vec<usize>, Vec<Module>) = own.unzip();
        let names = modules.iter().map(|module| module.info.name.clone());
        let portion = Portion { part, name: self.model.name.clone(), total, places: names.zip(places).collect() };
        Self { modules, part: Some(portion), ..self }
    }

    /// What each of so many parts takes.
    pub fn shares(&self, parts: usize) -> Vec<Share> {
        let mut shares = vec![Share::default(); parts];
        let mut shards = vec![BTreeSet::new(); parts];
        for (module, part) in self.modules.iter().zip(self.division(parts)) {
            shares[part].modules += 1;
            shares[part].flops += flops(module);
            shards[part].extend(module.shards());
        }
        for (share, shards) in shares.iter_mut().zip(shards) {
            share.files = shards.len();
            share.bytes = shards.into_iter().map(|shard| self.checkpoint.shards[shard].size).sum();
        }
        shares
    }
}
