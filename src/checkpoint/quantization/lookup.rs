//! bitsandbytes' 4-bit formats: codes are looked up in a table and scaled block by block (Dettmers and others, 2023).

use safetensors::Dtype;
use serde::Deserialize;

use super::coded::{Coded, Groups, Layout};
use super::{Read, Undecodable};
use crate::checkpoint::part::Part;

/// A matrix whose elements in row-major order are `map[code] * absmax[block]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// Two codes to a byte, the first in the high half.
    pub codes: Part,
    /// The values of the sixteen codes.
    pub map: Part,
    /// The scale of each block, or its code.
    pub absmax: Part,
    /// How to decode the scales if they are quantised themselves.
    pub nested: Option<Nested>,
    /// The tensor that contains `state` as JSON.
    pub state_part: Part,
    pub state: State,
}

/// Scales that are quantised themselves: `map[code] * absmax[block] + offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Nested {
    /// The values of the 256 codes.
    pub map: Part,
    /// The scale of each block of scales.
    pub absmax: Part,
}

/// bitsandbytes' description of a weight.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct State {
    /// `nf4` or `fp4`.
    pub quant_type: String,
    /// The number of elements in a block.
    pub blocksize: usize,
    pub shape: Vec<usize>,
    /// The number of scales in a block of scales.
    pub nested_blocksize: Option<usize>,
    /// A number that is added to every scale.
    pub nested_offset: Option<f64>,
}

impl Lookup {
    pub fn parts(&self) -> Vec<&Part> {
        let mut parts = vec![&self.codes, &self.map, &self.absmax, &self.state_part];
        parts.extend(self.nested.iter().flat_map(|nested| [&nested.map, &nested.absmax]));
        parts
    }

    pub fn read<'a>(&self, read: &Read<'a>) -> Result<Coded<'a>, Undecodable> {
        // Every weight has its own description, but the plan has read only one for all similar modules. It is copied because
        // the bytes of a mapped file may change while they are parsed.
        let described = self.state_part.read(read)?.into_owned();
        let state: State = serde_json::from_slice(&described)
            .map_err(|error| self.state_part.undecodable(&format!("is no description of a weight: {error}")))?;
        if (&state.shape, &state.quant_type) != (&self.state.shape, &self.state.quant_type) {
            return Err(self.state_part.undecodable("has another shape in it than other modules of the type"));
        }
        let values = self.map.numbers(read)?;
        let scales = self.scales(&state, read)?;
        let codes = self.codes.read(read)?;
        let unfit = || self.codes.undecodable("does not fit to the tensors that describe it");
        let &[rows, columns] = &state.shape[..] else { return Err(unfit()) };
        let count = rows * columns;
        let enough = values.len() == 16 && codes.len() == count.div_ceil(2) && state.blocksize > 0;
        if !enough || scales.len() != count.div_ceil(state.blocksize) {
            return Err(unfit());
        }
        Ok(Coded {
            codes,
            layout: Layout::HighFirst,
            values,
            stored: [rows, columns],
            transposed: false,
            groups: Groups::OfElements(state.blocksize),
            scales,
            zeros: None,
            is_zero_added: false,
        })
    }

    fn scales(&self, state: &State, read: &Read<'_>) -> Result<Vec<f64>, Undecodable> {
        let Some(nested) = &self.nested else { return self.absmax.numbers(read) };
        let map = nested.map.numbers(read)?;
        let absmax = nested.absmax.numbers(read)?;
        let codes = self.absmax.read(read)?;
        let (Some(size), Some(offset)) = (state.nested_blocksize.filter(|size| *size > 0), state.nested_offset) else {
            return Err(self.state_part.undecodable("does not say how the scales are quantised"));
        };
        if map.len() != 256 || absmax.len() != codes.len().div_ceil(size) || self.absmax.tensor.dtype != Dtype::U8 {
            return Err(self.absmax.undecodable("does not fit to the tensors that describe it"));
        }
        let scale = |(at, code): (usize, &u8)| map[usize::from(*code)] * absmax[at / size] + offset;
        Ok(codes.iter().enumerate().map(scale).collect())
    }
}
