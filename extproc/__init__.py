"""An Envoy external-processing service that routes LLM requests to the instance that should serve them.

Envoy stream -> server -> protocol -> facts -> estimate -> decide -> protocol -> Envoy
                                        ^         ^
                              fleet (configuration, scrapes, in-flight)
Envoy access log -> protocol -> calibrate -> estimate, fleet          (the only write-back)
"""
