//! The system's memory from which weights are copied to a GPU.

use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaEvent, CudaStream, CudaViewMut, sys};

use super::raw::PageLocked;

/// The bytes of a half: enough to keep the bus busy, and little enough for several lanes to have their own.
const HALF: usize = 8 << 20;

/// Page-locked memory in two halves. While the device reads from one, the next bytes are read into the other
/// straight from the file.
///
/// The device can read by itself only memory that is locked in place. Other memory the driver would first copy into
/// such memory, while the device and the calling thread wait.
pub struct Staging {
    halves: [Half; 2],
    /// The half that is written next.
    next: usize,
}

struct Half {
    memory: PageLocked,
    /// Occurs when the device has read what was last copied here.
    read: Option<CudaEvent>,
}

impl Staging {
    pub fn new(context: &Arc<CudaContext>) -> candle_core::Result<Self> {
        let half = || PageLocked::new(context, HALF).map(|memory| Half { memory, read: None });
        Ok(Self { halves: [half()?, half()?], next: 0 })
    }

    /// Fills `target` with bytes of which `copy` writes those from a place on to the memory here. The last of them may still be on
    /// their way on return, but later work in the stream finds them there.
    pub fn upload(
        &mut self,
        stream: &Arc<CudaStream>,
        target: &mut CudaViewMut<'_, u8>,
        copy: impl Fn(usize, &mut [u8]),
    ) -> candle_core::Result<()> {
        for start in (0..target.len()).step_by(HALF) {
            let length = HALF.min(target.len() - start);
            let half = &mut self.halves[self.next];
            self.next = 1 - self.next;
            half.wait()?;
            copy(start, &mut half.memory.bytes_mut()[..length]);
            let mut place = target.slice_mut(start..start + length);
            stream.memcpy_htod(&half.memory.bytes()[..length], &mut place).w()?;
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
