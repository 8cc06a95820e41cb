/* Ends everything from inside of a callback, and then starts anew. */
#include <rdpmux.h>
static void kb(uint32_t code, uint32_t flags) { (void)code; (void)flags; mux_cleanup(NULL); }
int main(int argc, char **argv)
{
    assert(argc == 2);
    for (int turn = 0; turn < 2; turn++) {
        assert(mux_init_display_struct("6f9619ff-8b86-d011-b42d-00cf4fc964ff"));
        assert(mux_connect(argv[1]));
        mux_register_event_callbacks((InputEventCallbacks){kb, NULL});
        assert(mux_mainloop(NULL) == NULL);
    }
    puts("alive");
    return 0;
}
