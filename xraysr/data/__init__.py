"""From folders of films to (LR, HR) batches; import from the modules."""
