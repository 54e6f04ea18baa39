/* Every function of ggml that the agent hooks or calls: one list, from which each platform's mechanism and the
 * resolver are driven. Found by symbol name, never by library. */
#ifndef GV_SYMBOLS_H
#define GV_SYMBOLS_H

/* Hooked: the agent defines these names; the originals are resolved per calling object. */
#define GV_HOOKS(X)                                                                                                    \
    X(ggml_backend_sched_graph_compute)                                                                                \
    X(ggml_backend_sched_graph_compute_async)                                                                          \
    X(ggml_backend_graph_compute)                                                                                      \
    X(ggml_backend_graph_compute_async)                                                                                \
    X(ggml_graph_compute)                                                                                              \
    X(ggml_cpu_extra_compute_forward)                                                                                  \
    X(ggml_compute_forward_rms_norm_mul_fused)                                                                         \
    X(ggml_barrier)                                                                                                    \
    X(GOMP_barrier)                                                                                                    \
    X(__kmpc_barrier)                                                                                                  \
    X(ggml_backend_sched_new)                                                                                          \
    X(ggml_backend_sched_set_eval_callback)                                                                            \
    X(ggml_backend_buft_alloc_buffer)                                                                                  \
    X(ggml_backend_buffer_free)                                                                                        \
    X(ggml_backend_buffer_set_usage)                                                                                   \
    X(ggml_backend_cpu_buffer_from_ptr)                                                                                \
    X(ggml_backend_dev_buffer_from_host_ptr)                                                                           \
    X(ggml_backend_tensor_set)                                                                                         \
    X(ggml_backend_tensor_get)                                                                                         \
    X(ggml_backend_tensor_set_async)                                                                                   \
    X(ggml_backend_tensor_get_async)                                                                                   \
    X(ggml_backend_tensor_set_2d)                                                                                      \
    X(ggml_backend_tensor_get_2d)                                                                                      \
    X(ggml_backend_tensor_set_2d_async)                                                                                \
    X(ggml_backend_tensor_get_2d_async)                                                                                \
    X(ggml_backend_tensor_memset)                                                                                      \
    X(ggml_backend_tensor_copy)                                                                                        \
    X(ggml_backend_tensor_copy_async)

/* Called: public accessors. Any may be missing in an older ggml; what needs it is then left out. */
#define GV_APIS(X)                                                                                                     \
    X(ggml_status_to_string)                                                                                           \
    X(ggml_version)                                                                                                    \
    X(ggml_init)                                                                                                       \
    X(ggml_free)                                                                                                       \
    X(ggml_tensor_overhead)                                                                                            \
    X(ggml_new_tensor_4d)                                                                                              \
    X(ggml_add)                                                                                                        \
    X(ggml_mul)                                                                                                        \
    X(ggml_view_1d)                                                                                                    \
    X(ggml_set_input)                                                                                                  \
    X(ggml_set_output)                                                                                                 \
    X(ggml_get_name)                                                                                                   \
    X(ggml_get_data)                                                                                                   \
    X(ggml_nbytes)                                                                                                     \
    X(ggml_op_name)                                                                                                    \
    X(ggml_op_desc)                                                                                                    \
    X(ggml_type_name)                                                                                                  \
    X(ggml_graph_n_nodes)                                                                                              \
    X(ggml_graph_node)                                                                                                 \
    X(ggml_graph_nodes)                                                                                                \
    X(ggml_new_graph)                                                                                                  \
    X(ggml_build_forward_expand)                                                                                       \
    X(ggml_graph_overhead)                                                                                             \
    X(ggml_graph_plan)                                                                                                 \
    X(ggml_cpu_extra_compute_forward)                                                                                  \
    X(ggml_backend_cpu_init)                                                                                           \
    X(ggml_backend_cpu_set_n_threads)                                                                                  \
    X(ggml_backend_cpu_set_abort_callback)                                                                             \
    X(ggml_backend_graph_compute)                                                                                      \
    X(ggml_backend_free)                                                                                               \
    X(ggml_backend_name)                                                                                               \
    X(ggml_backend_cpu_buffer_type)                                                                                    \
    X(ggml_backend_graph_compute_async)                                                                                \
    X(ggml_backend_tensor_copy_async)                                                                                  \
    X(ggml_backend_event_new)                                                                                          \
    X(ggml_backend_sched_get_n_backends)                                                                               \
    X(ggml_backend_sched_get_backend)                                                                                  \
    X(ggml_backend_sched_set_eval_callback)                                                                            \
    X(ggml_backend_buffer_free)                                                                                        \
    X(ggml_backend_alloc_ctx_tensors_from_buft)                                                                        \
    X(ggml_backend_buffer_name)                                                                                        \
    X(ggml_backend_buffer_get_type)                                                                                    \
    X(ggml_backend_buffer_get_size)                                                                                    \
    X(ggml_backend_buffer_get_base)                                                                                    \
    X(ggml_backend_buffer_get_usage)                                                                                   \
    X(ggml_backend_buft_name)

#define GV_ENUM_HOOK(name) GV_HOOK_##name,
#define GV_ENUM_API(name) GV_API_##name,
enum gv_hook { GV_HOOKS(GV_ENUM_HOOK) GV_HOOK_COUNT };
enum gv_api { GV_APIS(GV_ENUM_API) GV_API_COUNT };

#endif
