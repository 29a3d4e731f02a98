//! The two element types, the device each runs on, and the threads that calls share.
//!
//! Above: `operation`, `layout`. Below: `kernels::{Cpu, Reference}`. Not here: what is computed.
//! Starting threads for every call would cost more than many calls do, so devices are kept, by number of threads, and lent out.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{CpuStorage, Shape, Tensor};
use taper_kernels::{Cpu, Device, Real, Reference};

/// Devices nobody is using, by the number of threads they were asked for.
static IDLE: Mutex<BTreeMap<usize, Vec<Cpu>>> = Mutex::new(BTreeMap::new());

thread_local! {
    static THREADS: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work`, whose operations of this crate use so many threads, forward and later backward; 0, which holds outside, means all
/// cores.
///
/// Results depend on the number in their last bits, and on nothing else.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Activation, activation, with_threads};
/// let xs = Tensor::new(&[[-1f32, 2.0]], &Device::Cpu)?;
/// let ys = with_threads(1, || activation(&xs, Activation::Relu))?;
/// assert_eq!(ys.to_vec2::<f32>()?, [[0.0, 2.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn with_threads<R>(threads: usize, work: impl FnOnce() -> R) -> R {
    /// Puts the number back, also when `work` panics.
    struct Before(usize);
    impl Drop for Before {
        fn drop(&mut self) {
            THREADS.set(self.0);
        }
    }
    let _before = Before(THREADS.replace(threads));
    work()
}

/// The number of threads that hold here.
pub(crate) fn threads() -> usize {
    THREADS.get()
}

fn idle() -> MutexGuard<'static, BTreeMap<usize, Vec<Cpu>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An element type with a device.
pub(crate) trait Element: Real {
    type Device: Device<Self>;

    /// Lends a device.
    fn on_device<R>(threads: usize, work: impl FnOnce(&mut Self::Device) -> R) -> R;

    /// Calls `work` with every item, on the device's threads.
    fn each<I: Send>(device: &mut Self::Device, items: &mut [I], work: impl Fn(&mut I) + Sync);

    fn slice(storage: &CpuStorage) -> candle_core::Result<&[Self]>;
    fn storage(values: Vec<Self>) -> CpuStorage;
    fn tensor(values: Vec<Self>, shape: &Shape) -> candle_core::Result<Tensor>;
}

/// How candle holds elements.
macro_rules! held_by_candle {
    () => {
        fn slice(storage: &CpuStorage) -> candle_core::Result<&[Self]> {
            storage.as_slice()
        }

        fn storage(values: Vec<Self>) -> CpuStorage {
            candle_core::WithDType::to_cpu_storage_owned(values)
        }

        fn tensor(values: Vec<Self>, shape: &Shape) -> candle_core::Result<Tensor> {
            Tensor::from_vec(values, shape, &candle_core::Device::Cpu)
        }
    };
}

impl Element for f32 {
    type Device = Cpu;

    fn on_device<R>(threads: usize, work: impl FnOnce(&mut Cpu) -> R) -> R {
        let kept = idle().get_mut(&threads).and_then(Vec::pop);
        let mut cpu = kept.unwrap_or_else(|| Cpu::new(threads));
        let result = work(&mut cpu);
        idle().entry(threads).or_default().push(cpu);
        result
    }

    fn each<I: Send>(device: &mut Cpu, items: &mut [I], work: impl Fn(&mut I) + Sync) {
        device.each(items, work);
    }

    held_by_candle!();
}

impl Element for f64 {
    type Device = Reference;

    fn on_device<R>(_threads: usize, work: impl FnOnce(&mut Reference) -> R) -> R {
        work(&mut Reference)
    }

    fn each<I: Send>(_device: &mut Reference, items: &mut [I], work: impl Fn(&mut I) + Sync) {
        items.iter_mut().for_each(work);
    }

    held_by_candle!();
}
