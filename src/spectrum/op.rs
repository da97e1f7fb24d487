//! Singular values as a candle operation, which computes on the device where the weight lies.

use candle_core::{CpuStorage, CustomOp1, Error, Layout, Shape, bail};

use super::widen::{Weight, Widen};
use super::{Contradiction, Lane, Method, direct, gram, values};

/// The operation `[count, rows, columns]` -> `[count, min(rows, columns)]`: the singular values of each matrix in F64,
/// largest first.
///
/// All values are NaN if an element is NaN or infinite, as in IEEE arithmetic. A value is zero only if it is exactly
/// zero because of rows or columns of zeros; one that rounding took to zero or below becomes the smallest normal
/// number.
pub struct SingularValues<'a> {
    pub method: Method,
    /// The lane that brought the weight to the device.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the CPU needs no handles"))]
    pub lane: &'a Lane,
}

impl CustomOp1 for SingularValues<'_> {
    fn name(&self) -> &'static str {
        "singular-values"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (count, rows, columns) = layout.shape().dims3()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("{} needs contiguous matrices", self.name());
        };
        let values = match storage {
            CpuStorage::F64(data) => self.compute(&data[start..end], rows, columns),
            CpuStorage::F32(data) => self.compute(&data[start..end], rows, columns),
            CpuStorage::F16(data) => self.compute(&data[start..end], rows, columns),
            CpuStorage::BF16(data) => self.compute(&data[start..end], rows, columns),
            _ => bail!("{} takes F64, F32, F16 or BF16", self.name()),
        }?;
        Ok((CpuStorage::F64(values), Shape::from((count, rows.min(columns)))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        match self.lane.stream() {
            Some(stream) => stream.singular_values(storage, layout, self.method),
            None => bail!("{} needs the lane by which the weight came", self.name()),
        }
    }
}

impl SingularValues<'_> {
    fn compute<T: Widen>(&self, data: &[T], rows: usize, columns: usize) -> Result<Vec<f64>, Contradiction> {
        let mut all = Vec::new();
        for matrix in data.chunks(rows * columns) {
            let weight = Weight::new(matrix, rows, columns);
            all.extend(values(weight.survey(), rows.min(columns), |scale| match self.method {
                Method::Gram => gram::singular_values(&weight, scale),
                Method::Direct => Ok(direct::singular_values(&weight, scale)),
            })?);
        }
        Ok(all)
    }
}

impl From<Contradiction> for Error {
    fn from(contradiction: Contradiction) -> Self {
        Self::wrap(contradiction)
    }
}
