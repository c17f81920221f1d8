//! What an input may cost: an allocator that counts, and a bound by the input's length.
//!
//! libFuzzer's own limits (`-malloc_limit_mb`) need a sanitizer, and know nothing of how long the input was. Here a header
//! that claims a million of something is found by what is allocated for it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what each thread asks for; it gives back nothing of the count.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize) {
    // A thread that ends has no count any more.
    let _gone = ALLOCATED.try_with(|allocated| allocated.set(allocated.get().saturating_add(bytes)));
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work`, which may allocate 64 KiB and so many bytes for each byte of its input, all in all.
///
/// # Panics
/// If it allocates more.
pub fn bounded<T>(input_bytes: usize, each: usize, work: impl FnOnce() -> T) -> T {
    let before = ALLOCATED.with(Cell::get);
    let done = work();
    let (spent, allowed) = (ALLOCATED.with(Cell::get) - before, 64 * 1024 + each * input_bytes);
    assert!(spent <= allowed, "{input_bytes} bytes made it allocate {spent}, and {allowed} are allowed");
    done
}
