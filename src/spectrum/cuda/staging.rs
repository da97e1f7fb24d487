//! The system's memory from which weights are copied to a GPU.

use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaStream, CudaViewMut, PinnedHostSlice, sys};

use super::raw;

/// The bytes of a half: enough to keep the bus busy, and little enough for several lanes to have their own.
const HALF: usize = 8 << 20;

/// Page-locked memory in two halves. While the device reads from one, the next bytes are copied to the other from the
/// mapped file, and so from the disk.
///
/// The device can read by itself only memory that is locked in place. Other memory the driver would first copy into
/// such memory, while the device and the calling thread wait.
pub struct Staging {
    halves: [Half; 2],
}

struct Half {
    memory: PinnedHostSlice<u8>,
    /// Occurs when the device has read what was last copied here.
    read: Option<CudaEvent>,
}

impl Staging {
    pub fn new(stream: &CudaStream) -> candle_core::Result<Self> {
        let half = || raw::page_locked(stream.context(), HALF).map(|memory| Half { memory, read: None });
        Ok(Self { halves: [half()?, half()?] })
    }

    /// Copies `bytes` to `target`, which has as many. The last of them may still be on their way on return, but later
    /// work in the stream finds them there.
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
                // Nothing will tell when the device has read the bytes, so it is waited for now.
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
    /// The memory must not be freed while the device reads it.
    fn drop(&mut self) {
        let _ = self.wait();
    }
}
