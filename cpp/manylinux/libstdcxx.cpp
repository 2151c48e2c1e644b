// What the headers of GCC 11 expect of libstdc++ and glibc, and those of GCC 8 and glibc 2.28 lack.
// Only built with BPTT_MANYLINUX. All names stay inside the module.
#include <new>

#define BPTT_INSIDE extern "C" __attribute__((visibility("hidden")))

// "The process may have several threads": reference counts stay atomic.
BPTT_INSIDE char __libc_single_threaded;
char __libc_single_threaded = 0;

// std::__throw_bad_array_new_length()
BPTT_INSIDE [[noreturn]] void bptt_bad_array_new_length() asm("_ZSt28__throw_bad_array_new_lengthv");
[[noreturn]] void bptt_bad_array_new_length() { throw std::bad_array_new_length(); }

// exception_ptr::exception_ptr(void*), a function of the library, counts one more reference.
extern "C" void bptt_count(void** pointer, void* exception) asm("_ZNSt15__exception_ptr13exception_ptrC1EPv");
BPTT_INSIDE void bptt_add_reference(void** pointer) asm("_ZNSt15__exception_ptr13exception_ptr9_M_addrefEv");
void bptt_add_reference(void** pointer) { bptt_count(pointer, *pointer); }

// Assigning null releases a reference. No code of bptt assigns one exception_ptr to another: the compiler would then
// put a copy of this operator into the module, and that copy would call the function below without end.
extern "C" void bptt_assign(void** to, void* const* from) asm("_ZNSt15__exception_ptr13exception_ptraSERKS0_");
BPTT_INSIDE void bptt_release(void** pointer) asm("_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv");
void bptt_release(void** pointer) {
  void* const null = nullptr;
  bptt_assign(pointer, &null);
}
