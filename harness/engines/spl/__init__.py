"""An interpreter of exactly the SPL that the Splunk target emits. It stands in for Splunk, which can't be had here.

Whatever is not documented, or not needed, raises `Unknown`: a command, a function, an option, a piece of syntax, and a
value that Splunk's documentation leaves open (a comparison with a multivalue field, NOT of a comparison with a field
that is absent). So what is proven here does not hang on a guess. Each command and function is tested by examples of its
own page of the Splunk documentation (``tests/spl``).
"""
