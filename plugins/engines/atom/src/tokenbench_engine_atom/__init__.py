"""The engine `atom`: the server of ATOM, AMD's engine on AITER kernels."""
