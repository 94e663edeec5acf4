"""May these new rows join the pool?"""
