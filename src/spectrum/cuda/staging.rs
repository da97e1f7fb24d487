//! The system's memory from which weights go over to a GPU.

use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaStream, CudaViewMut, PinnedHostSlice, sys};

use super::raw;

/// The bytes of a half: long enough for the bus to be busy, short enough for several lanes to have their own.
const HALF: usize = 8 << 20;

/// Page-locked memory in two halves: while the device reads from one, the next bytes are brought into the other, from the
/// mapped file and so from the disk.
///
/// The device reads by itself, from memory that it knows to stay in place. From other memory the driver would do this
/// copy, with the device waiting, and the calling thread for both.
pub struct Staging {
    halves: [Half; 2],
}

struct Half {
    memory: PinnedHostSlice<u8>,
    /// Occurs when the device has read what was brought here last.
    read: Option<CudaEvent>,
}

impl Staging {
    /// Memory of this kind for the device of `stream`.
    pub fn new(stream: &CudaStream) -> candle_core::Result<Self> {
        let half = || raw::page_locked(stream.context(), HALF).map(|memory| Half { memory, read: None });
        Ok(Self { halves: [half()?, half()?] })
    }

    /// Copies `bytes` to `target`, which has as many. On return the last of them may still be on their way; what comes after
    /// in the stream finds them there.
    pub fn upload(
        &mut self,
        stream: &Arc<CudaStream>,
        bytes: &[u8],
        target: &mut CudaViewMut<'_, u8>,
    ) -> candle_core::Result<()> {
        for (at, piece) in bytes.chunks(HALF).enumerate() {
            let half = &mut self.halves[at % 2];
            half.wait()?;
            half.memory.as_mut_slice().w()?[..piece.len()].copy_from_slice(piece);
            let start = at * HALF;
            let mut place = target.slice_mut(start..start + piece.len());
            let memory = half.memory.as_slice().w()?;
            stream.memcpy_htod(&memory[..piece.len()], &mut place).w()?;
            let read = stream.record_event(Some(sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC));
            if read.is_err() {
                // Without a sign of when the device has read, it is waited for.
                let _ = stream.synchronize();
            }
            half.read = Some(read.w()?);
        }
        Ok(())
    }
}

impl Half {
    fn wait(&mut self) -> candle_core::Result<()> {
        self.read.take().map_or(Ok(()), |read| read.synchronize()).w()
    }
}

impl Drop for Half {
    /// The memory must not go while the device reads it.
    fn drop(&mut self) {
        let _ = self.wait();
    }
}
